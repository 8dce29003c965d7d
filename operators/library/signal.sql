-- Signals: vectors of samples.

--- The Hann window of n samples, periodic: tf.signal.hann_window.
--- Example: SELECT hann_window(8)
CREATE FUNCTION hann_window(n) AS
  0.5 - 0.5 * tf_Cos(tf_Range(0.0, n, 1.0) * 6.283185307179586 / n);

--- A signal [samples] cut into frames [frames, frame_length] that start every frame_step samples; what is left over at
--- the end is dropped: tf.signal.frame.
--- Example: SELECT frames([1.0, 2.0, 3.0, 4.0, 5.0]::FLOAT[5], 2, 2)
CREATE FUNCTION frames(signal, frame_length, frame_step) AS
  frames_of_pieces(signal, frame_length, frame_step, common_divisor(frame_length, frame_step));

--- frames, from pieces of so many samples that both a frame and a step are whole numbers of them: copying a piece costs
--- little more than copying a sample.
--- Example: SELECT frames_of_pieces([1.0, 2.0, 3.0, 4.0, 5.0]::FLOAT[5], 4, 2, 2)
CREATE FUNCTION frames_of_pieces(signal, frame_length, frame_step, piece) AS tf_Reshape(
  tf_GatherV2(
    tf_Reshape(tf_Slice(signal, [0], [tf_Size(signal) // piece * piece]), [-1, piece]),
    tf_ExpandDims(tf_Range(0, tf_Size(signal) - frame_length + 1, frame_step) // piece, 1)
      + tf_ExpandDims(tf_Range(0, frame_length // piece, 1), 0),
    0),
  [-1, frame_length]);

--- The greatest number that divides two positive numbers.
--- Example: SELECT common_divisor(12, 8)
CREATE FUNCTION common_divisor(a, b) AS tf_Max(tf_Range(1, b + 1, 1) * tf_Cast(
  tf_LogicalAnd(tf_Equal(a % tf_Range(1, b + 1, 1), 0), tf_Equal(b % tf_Range(1, b + 1, 1), 0)), {DstT: 'int32'}), 0);

--- How much of each frequency is in each frame of a signal: [frames, frame_length / 2 + 1]. It is the absolute value of
--- tf.signal.stft with a Hann window and as many points as a frame has samples.
--- Example: SELECT shape(spectrogram(tf_Sin(tf_Range(0.0, 64.0, 1.0)), 16, 8))
CREATE FUNCTION spectrogram(signal, frame_length, frame_step) AS
  tf_ComplexAbs(tf_RFFT(frames(as_float(signal), frame_length, frame_step) * hann_window(frame_length), [frame_length]));

--- The logarithm of spectrogram's squares, from -120 decibels on.
--- Example: SELECT log_spectrogram(tf_Sin(tf_Range(0.0, 64.0, 1.0)), 16, 8)
CREATE FUNCTION log_spectrogram(signal, frame_length, frame_step) AS
  tf_Log(tf_Square(spectrogram(signal, frame_length, frame_step)) + 1e-12) * 4.342944819032518;
