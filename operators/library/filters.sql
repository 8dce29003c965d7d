-- Picture filters. A function's documentation is the lines that start with three dashes above it; its last line, after
-- "Example:", runs.

--- The 3x3 kernel that finds edges between left and right: Sobel's.
--- Example: SELECT right_sobel_kernel()
CREATE FUNCTION right_sobel_kernel() AS [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]];

--- The 3x3 kernel that finds edges between top and bottom: Sobel's.
--- Example: SELECT bottom_sobel_kernel()
CREATE FUNCTION bottom_sobel_kernel() AS [[-1, -2, -1], [0, 0, 0], [1, 2, 1]];

--- The 3x3 kernel that finds edges in every direction.
--- Example: SELECT detect_edges_kernel()
CREATE FUNCTION detect_edges_kernel() AS [[1, 1, 1], [1, -8, 1], [1, 1, 1]];

--- The 3x3 kernel that sharpens.
--- Example: SELECT sharpen_kernel()
CREATE FUNCTION sharpen_kernel() AS [[0, -1, 0], [-1, 5, -1], [0, -1, 0]];

--- The 3x3 kernel that blurs: nine times 0.1.
--- Example: SELECT box_blur_kernel()
CREATE FUNCTION box_blur_kernel() AS [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.1, 0.1, 0.1]];

--- The 3x3 kernel that blurs as a Gaussian bell does, about; its weights sum to 1.
--- Example: SELECT gaussian_blur_kernel()
CREATE FUNCTION gaussian_blur_kernel() AS
  [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]];

--- A picture filtered by one kernel, each channel by itself: float32, or float64 for a picture of float64.
--- image: [height, width], [height, width, channels] or [pictures, height, width, channels]; kernel: [height, width].
--- The kernel is centred on each pixel; outside of the picture there are zeros (padding SAME). The shape stays.
--- Example: SELECT convolve(image, sharpen_kernel()) AS sharp FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION convolve(image, kernel) AS CASE ndim(image)
  WHEN 2 THEN tf_Squeeze(tf_Conv2D(tf_ExpandDims(tf_ExpandDims(as_float(image), 0), -1),
    tf_ExpandDims(tf_ExpandDims(kernel, -1), -1), {padding: 'SAME', strides: [1, 1, 1, 1]}), {axis: [0, 3]})
  WHEN 3 THEN tf_Squeeze(convolve_pictures(tf_ExpandDims(as_float(image), 0), kernel), {axis: [0]})
  WHEN 4 THEN convolve_pictures(as_float(image), kernel)
END;

--- Pictures [pictures, height, width, channels] filtered by one kernel [height, width]: what convolve does with each.
--- Example: SELECT convolve_pictures([[[[1.0], [2.0]]]], [[0.5]])
CREATE FUNCTION convolve_pictures(images, kernel) AS tf_DepthwiseConv2dNative(images,
  tf_BroadcastTo(tf_ExpandDims(tf_ExpandDims(kernel, -1), -1),
    tf_ConcatV2([shape(kernel), tf_Slice(shape(images), [3], [1]), [1]], 0)),
  {padding: 'SAME', strides: [1, 1, 1, 1]});

--- How strongly a picture changes from left to right at each pixel; see convolve.
--- Example: SELECT sobel_x(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION sobel_x(image) AS convolve(image, right_sobel_kernel());

--- How strongly a picture changes from top to bottom at each pixel; see convolve.
--- Example: SELECT sobel_y(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION sobel_y(image) AS convolve(image, bottom_sobel_kernel());

--- How strongly a picture changes at each pixel, whatever the direction: the length of Sobel's gradient.
--- Example: SELECT edge_magnitude(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION edge_magnitude(image) AS tf_Sqrt(tf_Square(sobel_x(image)) + tf_Square(sobel_y(image)));

--- A sharper picture; see convolve.
--- Example: SELECT sharpen(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION sharpen(image) AS convolve(image, sharpen_kernel());

--- A picture blurred over 3x3 pixels, each counting a tenth; see convolve.
--- Example: SELECT box_blur(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION box_blur(image) AS convolve(image, box_blur_kernel());

--- A picture blurred over 3x3 pixels as by a Gaussian bell; see convolve.
--- Example: SELECT gaussian_blur(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION gaussian_blur(image) AS convolve(image, gaussian_blur_kernel());
