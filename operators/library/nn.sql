-- What classifiers and embeddings need.

--- Scores as probabilities, along the last axis: tf.nn.softmax.
--- Example: SELECT softmax([1.0, 2.0, 3.0])
CREATE FUNCTION softmax(logits) AS tf_Softmax(logits);

--- The logarithms of softmax, exactly even where it is 0: tf.nn.log_softmax.
--- Example: SELECT log_softmax([1.0, 2.0, 3.0])
CREATE FUNCTION log_softmax(logits) AS tf_LogSoftmax(logits);

--- The k greatest values along the last axis, greatest first, and where they are: a row of values and indices.
--- Example: SELECT top_k([0.1, 0.7, 0.2], 2).indices
CREATE FUNCTION top_k(x, k) AS tf_TopKV2(x, k);

--- Where the greatest value along the last axis is, counted from 0: the class of a vector of scores.
--- Example: SELECT top_class([0.1, 0.7, 0.2])
CREATE FUNCTION top_class(scores) AS tf_ArgMax(scores, -1);

--- A vector of zeros with a 1 at a position: tf.one_hot.
--- Example: SELECT one_hot(2, 4)
CREATE FUNCTION one_hot(i, depth) AS tf_OneHot(i, depth, 1.0, 0.0);

--- Negative numbers as 0: tf.nn.relu.
--- Example: SELECT relu([-1.0, 2.0])
CREATE FUNCTION relu(x) AS tf_Relu(x);

--- Numbers squeezed between 0 and 1: tf.nn.sigmoid.
--- Example: SELECT sigmoid([-1.0, 2.0])
CREATE FUNCTION sigmoid(x) AS tf_Sigmoid(x);

--- A vector times weights [inputs, outputs] plus a bias [outputs]: one layer of a network.
--- Example: SELECT dense([1.0, 2.0], [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], [0.5, 0.5, 0.5])
CREATE FUNCTION dense(x, weights, bias) AS
  tf_Squeeze(tf_MatMul(tf_ExpandDims(as_float(x), 0), weights), {axis: [0]}) + bias;

--- A vector of length 1 in the same direction: tf.math.l2_normalize.
--- Example: SELECT l2_normalize([3.0, 4.0])
CREATE FUNCTION l2_normalize(x) AS as_float(x) * reciprocal_length(x);

--- The cosine of the angle between two vectors.
--- Example: SELECT cosine_similarity([1.0, 0.0], [1.0, 1.0])
CREATE FUNCTION cosine_similarity(a, b) AS
  tf_Squeeze(tf_MatMul(tf_ExpandDims(as_float(a), 0), tf_ExpandDims(as_float(b), 1)), {axis: [0, 1]})
    * reciprocal_length(a) * reciprocal_length(b);

--- 1 / the length of a vector; at most a million, which is that of a vector of zeros.
--- Example: SELECT reciprocal_length([3.0, 4.0])
CREATE FUNCTION reciprocal_length(x) AS tf_Rsqrt(tf_Maximum(tf_Sum(tf_Square(as_float(x)), 0), 1e-12));
