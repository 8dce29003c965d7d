-- Pictures: [height, width], [height, width, channels] or [pictures, height, width, channels].

--- Numbers as floats: integers become float32, floats stay.
--- Example: SELECT as_float([1, 2]::UTINYINT[2])
CREATE FUNCTION as_float(x) AS x * 1.0;

--- Pixels of 0 to 255 as 0 to 1.
--- Example: SELECT rescale(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION rescale(image) AS as_float(image) / 255;

--- The luma of a picture whose last axis is red, green and blue; the axis stays, with length 1. Floats in the scale of
--- the picture; of float pictures the same as tf.image.rgb_to_grayscale.
--- Example: SELECT grayscale([[[255, 0, 0], [0, 255, 0]]]::UTINYINT[3][2][1])
CREATE FUNCTION grayscale(image) AS tf_Sum(as_float(image) * [0.2989, 0.587, 0.114], [-1], {keep_dims: true});

--- A picture of another size, bilinearly, as float32: tf.image.resize.
--- Example: SELECT resize(image, 14, 14) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION resize(image, height, width) AS CASE ndim(image)
  WHEN 2 THEN tf_Squeeze(tf_ResizeBilinear(tf_ExpandDims(tf_ExpandDims(image, 0), -1), [height, width],
    {half_pixel_centers: true}), {axis: [0, 3]})
  WHEN 3 THEN tf_Squeeze(tf_ResizeBilinear(tf_ExpandDims(image, 0), [height, width], {half_pixel_centers: true}),
    {axis: [0]})
  WHEN 4 THEN tf_ResizeBilinear(image, [height, width], {half_pixel_centers: true})
END;

--- A picture with mean 0 and standard deviation 1: tf.image.per_image_standardization. It takes one picture.
--- Example: SELECT standardize(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION standardize(image) AS (as_float(image) - mean_of(image))
  / tf_Maximum(tf_Sqrt(mean_of(tf_Square(as_float(image) - mean_of(image)))),
      tf_Rsqrt(tf_Cast(tf_Size(image), {DstT: 'float32'})));

--- The mean of all elements.
--- Example: SELECT mean_of(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION mean_of(x) AS tf_Mean(flatten(as_float(x)), 0);

--- A picture mirrored: its left is right.
--- Example: SELECT flip_left_right(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION flip_left_right(image) AS CASE ndim(image)
  WHEN 2 THEN tf_ReverseV2(image, [1])
  WHEN 3 THEN tf_ReverseV2(image, [1])
  WHEN 4 THEN tf_ReverseV2(image, [2])
END;

--- A picture upside down.
--- Example: SELECT flip_up_down(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION flip_up_down(image) AS CASE ndim(image)
  WHEN 2 THEN tf_ReverseV2(image, [0])
  WHEN 3 THEN tf_ReverseV2(image, [0])
  WHEN 4 THEN tf_ReverseV2(image, [1])
END;

--- A picture with rows and columns exchanged.
--- Example: SELECT transpose_image(image) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION transpose_image(image) AS CASE ndim(image)
  WHEN 2 THEN tf_Transpose(image, [1, 0])
  WHEN 3 THEN tf_Transpose(image, [1, 0, 2])
  WHEN 4 THEN tf_Transpose(image, [0, 2, 1, 3])
END;

--- A picture turned counter-clockwise, k quarters of a circle: 0, 1, 2 or 3.
--- Example: SELECT rot90(image, 3) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION rot90(image, k := 1) AS CASE k
  WHEN 0 THEN tf_Identity(image)
  WHEN 1 THEN transpose_image(flip_left_right(image))
  WHEN 2 THEN flip_up_down(flip_left_right(image))
  WHEN 3 THEN flip_left_right(transpose_image(image))
END;

--- A picture that much brighter.
--- Example: SELECT adjust_brightness(image, 10) FROM 'data/digits.parquet' LIMIT 1
CREATE FUNCTION adjust_brightness(image, delta) AS as_float(image) + delta;

--- The picture in a JPEG, PNG, BMP or GIF file (its first frame): uint8[height, width, 3].
--- Example: SELECT shape(decode_image(tf_EncodePng(tf_Fill([4, 6, 3], 9::UTINYINT))))
CREATE FUNCTION decode_image(contents) AS tf_DecodeImage(contents, {channels: 3, expand_animations: false});
