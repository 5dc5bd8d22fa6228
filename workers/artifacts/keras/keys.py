"""The keys that the config of each class may have: what its constructor takes and its ``get_config`` writes.

Derived from Keras 3.15, with which a test compares it. ``kernel_*`` stands for ``kernel_initializer``,
``kernel_regularizer`` and ``kernel_constraint``; a class without a line has the keys of its family only. Left out are
keys that a saved config never has and that give a layer tensors or arrays of its own (``weights``, ``input_tensor``).
"""

from __future__ import annotations

_TABLE = """
[keras]
DTypePolicy FloatDTypePolicy: name
[keras.constraints]
MaxNorm: axis max_value
MinMaxNorm: axis max_value min_value rate
UnitNorm: axis
[keras.dtype_policies]
DTypePolicy FloatDTypePolicy: name
DTypePolicyMap: default_policy name policy_map
Int4DTypePolicy QuantizedDTypePolicy: mode name source_name
QuantizedFloat8DTypePolicy: amax_history_length mode name source_name
[keras.initializers]
Constant: value
GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform VarianceScaling: distribution input_axes mode
  output_axes scale seed
Identity IdentityInitializer: gain
Orthogonal OrthogonalInitializer: gain seed
RandomNormal TruncatedNormal: mean seed stddev
RandomUniform: maxval minval seed
STFT STFTInitializer: periodic scaling side window
[keras.layers]
Activation: activation
ActivityRegularization: l1 l2
AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
  AdaptiveMaxPooling3D: data_format output_size
AdditiveAttention Attention: dropout score_mode seed use_scale
AlphaDropout Dropout SpatialDropout1D: noise_shape rate seed
AugMix: all_ops alpha bounding_box_format chain_depth data_format factor interpolation num_chains seed value_range
AutoContrast: bounding_box_format data_format factor value_range
AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D: data_format padding
  pool_dimensions pool_mode pool_size strides
BatchNormalization: axis beta_* center epsilon gamma_* momentum moving_mean_initializer moving_variance_initializer
  renorm renorm_clipping renorm_momentum scale synchronized
Bidirectional: backward_layer layer merge_mode
CategoryEncoding: num_tokens output_mode sparse
CenterCrop: bounding_box_format data_format factor height width
Concatenate Softmax UnitNormalization: axis
ContrastLimitedAdaptiveHistogramEqualization: bounding_box_format clip_limit data_format factor tile_grid_size
  value_range
Conv1D Conv2D Conv3D: activation bias_* data_format dilation_rate filters groups kernel_* kernel_size lora_alpha
  lora_rank padding rank strides use_bias
Conv1DTranspose Conv2DTranspose Conv3DTranspose: activation bias_* data_format dilation_rate filters kernel_*
  kernel_size output_padding padding rank strides use_bias
ConvLSTM1D ConvLSTM2D ConvLSTM3D: activation bias_* cell data_format dilation_rate dropout filters go_backwards
  kernel_* kernel_size padding rank recurrent_* recurrent_activation recurrent_dropout return_sequences return_state
  seed stateful strides unit_forget_bias unroll use_bias zero_output_for_mask
Cropping1D: cropping
Cropping2D Cropping3D: cropping data_format
CutMix RandomGrayscale: bounding_box_format data_format factor seed
Dense: activation bias_* kernel_* lora_alpha lora_rank quantization_config units use_bias
DepthwiseConv1D DepthwiseConv2D: activation bias_* data_format depth_multiplier depthwise_* dilation_rate kernel_size
  padding rank strides use_bias
Discretization: bin_boundaries epsilon num_bins output_mode sparse
Dot: axes normalize
ELU: alpha
EinsumDense: activation bias_* bias_axes equation gptq_unpacked_column_size kernel_* lora_alpha lora_rank output_shape
  quantization_config
Embedding: embeddings_* input_length lora_alpha lora_rank mask_zero output_dim quantization_config
Equalization: bins bounding_box_format data_format factor value_range
Flatten: data_format
GRU: activation bias_* cell dropout go_backwards implementation kernel_* recurrent_* recurrent_activation
  recurrent_dropout reset_after return_sequences return_state seed stateful units unroll use_bias use_cudnn
  zero_output_for_mask
GRUCell: activation bias_* dropout implementation kernel_* recurrent_* recurrent_activation recurrent_dropout
  reset_after seed units use_bias
GaussianDropout: rate seed
GaussianNoise: seed stddev
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
  GlobalMaxPooling3D: data_format keepdims pool_dimensions
GroupNormalization: axis beta_* center epsilon gamma_* groups scale
GroupQueryAttention: bias_* dropout flash_attention head_dim kernel_* num_key_value_heads num_query_heads seed
  sliding_window use_bias use_gate
HashedCrossing: num_bins output_mode sparse
Hashing: mask_value num_bins output_mode salt sparse
InputLayer: batch_input_shape batch_shape batch_size optional ragged shape sparse
IntegerLookup: has_input_vocabulary idf_weights invert mask_token max_tokens num_oov_indices oov_method oov_token
  output_mode pad_to_max_tokens salt sparse vocabulary vocabulary_dtype vocabulary_size
LSTM: activation bias_* cell dropout go_backwards implementation kernel_* recurrent_* recurrent_activation
  recurrent_dropout return_sequences return_state seed stateful unit_forget_bias units unroll use_bias use_cudnn
  zero_output_for_mask
LSTMCell: activation bias_* dropout implementation kernel_* recurrent_* recurrent_activation recurrent_dropout seed
  unit_forget_bias units use_bias
LayerNormalization: axis beta_* center epsilon gamma_* rms_scaling scale
LeakyReLU: alpha negative_slope
Masking: mask_value
MaxNumBoundingBoxes: bounding_box_format data_format factor fill_value max_number
MelSpectrogram: fft_length mag_exp max_freq min_freq min_power num_mel_bins power_to_db ref_power sampling_rate
  sequence_length sequence_stride top_db window
MixUp: alpha bounding_box_format data_format factor seed
MultiHeadAttention: attention_axes bias_* dropout flash_attention kernel_* key_dim num_heads output_shape seed
  sliding_window use_bias use_gate value_dim
Normalization: axis invert mean variance
PReLU: alpha_* shared_axes
Permute: dims
Pipeline: layers
RMSNormalization: axis epsilon
RNN: cell go_backwards return_sequences return_state stateful unroll zero_output_for_mask
RandAugment: bounding_box_format data_format factor interpolation num_ops seed value_range
RandomBrightness RandomColorDegeneration RandomContrast RandomHue RandomInvert RandomPosterization RandomSaturation
  RandomSharpness: bounding_box_format data_format factor seed value_range
RandomColorJitter: bounding_box_format brightness_factor contrast_factor data_format factor hue_factor
  saturation_factor seed value_range
RandomCrop: bounding_box_format data_format factor height seed width
RandomElasticTransform: bounding_box_format data_format factor fill_mode fill_value interpolation scale seed
  value_range
RandomErasing: bounding_box_format data_format factor fill_value scale seed value_range
RandomFlip: bounding_box_format data_format factor mode seed
RandomGaussianBlur: bounding_box_format data_format factor kernel_size seed sigma value_range
RandomPerspective: bounding_box_format data_format factor fill_value interpolation scale seed
RandomRotation: bounding_box_format data_format factor fill_mode fill_value interpolation seed
RandomShear: bounding_box_format data_format factor fill_mode fill_value interpolation seed x_factor y_factor
RandomTranslation RandomZoom: bounding_box_format data_format factor fill_mode fill_value height_factor interpolation
  seed width_factor
ReLU: max_value negative_slope threshold
RepeatVector: n
Rescaling: offset scale
Reshape: target_shape
Resizing: antialias bounding_box_format crop_to_aspect_ratio data_format factor fill_mode fill_value height
  interpolation pad_to_aspect_ratio width
ReversibleEmbedding: embeddings_* input_length logit_soft_cap lora_alpha lora_rank mask_zero output_dim
  quantization_config reverse_dtype tie_weights
STFTSpectrogram: data_format expand_dims fft_length frame_length frame_step mode padding periodic scaling window
SeparableConv1D SeparableConv2D: activation bias_* data_format depth_multiplier depthwise_* dilation_rate filters
  kernel_size padding pointwise_* rank strides use_bias
SimpleRNN: activation bias_* cell dropout go_backwards kernel_* recurrent_* recurrent_dropout return_sequences
  return_state seed stateful units unroll use_bias zero_output_for_mask
SimpleRNNCell: activation bias_* dropout kernel_* recurrent_* recurrent_dropout seed units use_bias
Solarization: addition_factor bounding_box_format data_format factor seed threshold_factor value_range
SpatialDropout2D SpatialDropout3D: data_format noise_shape rate seed
SpectralNormalization: layer power_iterations
StackedRNNCells: cells
StringLookup: encoding has_input_vocabulary idf_weights invert mask_token max_tokens num_oov_indices oov_method
  oov_token output_mode pad_to_max_tokens salt sparse vocabulary vocabulary_dtype vocabulary_size
TextVectorization: encoding has_input_vocabulary idf_weights max_tokens ngrams output_mode output_sequence_length
  pad_to_max_tokens ragged sparse split standardize vocabulary vocabulary_size
TimeDistributed: layer
UpSampling1D: size
UpSampling2D: data_format interpolation size
UpSampling3D: data_format size
ZeroPadding1D ZeroPadding2D ZeroPadding3D: data_format padding
[keras.losses]
BinaryCrossentropy CategoricalCrossentropy: axis fn from_logits label_smoothing
BinaryFocalCrossentropy: alpha apply_class_balancing axis fn from_logits gamma label_smoothing
CTC CategoricalHinge Hinge KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
  MeanSquaredLogarithmicError Poisson SquaredHinge: fn
CategoricalFocalCrossentropy: alpha axis fn from_logits gamma label_smoothing
CategoricalGeneralizedCrossEntropy: fn q
Circle: fn gamma margin remove_diagonal
CosineSimilarity Dice: axis fn
Huber: delta fn
SparseCategoricalCrossentropy: axis fn from_logits ignore_class
Tversky: alpha axis beta fn
[keras.metrics]
AUC: curve from_logits label_weights multi_label num_labels num_thresholds summation_method thresholds
Accuracy CategoricalAccuracy CategoricalHinge Hinge KLDivergence LogCoshError MeanAbsoluteError
  MeanAbsolutePercentageError MeanMetricWrapper MeanSquaredError MeanSquaredLogarithmicError Poisson
  SparseCategoricalAccuracy SquaredHinge: fn
BinaryAccuracy: fn threshold
BinaryCrossentropy: fn from_logits label_smoothing
BinaryIoU: axis ignore_class num_classes sparse_y_pred sparse_y_true target_class_ids threshold
CategoricalCrossentropy: axis fn from_logits label_smoothing
ConcordanceCorrelation CosineSimilarity PearsonCorrelation: axis fn
F1Score FBetaScore: average beta threshold
FalseNegatives FalsePositives TrueNegatives TruePositives: thresholds
IoU MeanIoU OneHotIoU OneHotMeanIoU: axis ignore_class num_classes sparse_y_pred sparse_y_true target_class_ids
Precision Recall: class_id thresholds top_k
PrecisionAtRecall: class_id num_thresholds recall
R2Score: class_aggregation num_regressors
RecallAtPrecision: class_id num_thresholds precision
SensitivityAtSpecificity: class_id num_thresholds specificity
SparseCategoricalCrossentropy: axis fn from_logits ignore_class
SparseTopKCategoricalAccuracy: fn from_sorted_ids k
SpecificityAtSensitivity: class_id num_thresholds sensitivity
TopKCategoricalAccuracy: fn k
[keras.optimizers]
Adadelta: epsilon rho
Adafactor: beta_2_decay clip_threshold epsilon_1 epsilon_2 relative_step
Adagrad: epsilon initial_accumulator_value
Adam AdamW: amsgrad beta_1 beta_2 epsilon
Adamax Lamb Nadam: beta_1 beta_2 epsilon
Ftrl: beta initial_accumulator_value l1_regularization_strength l2_regularization_strength
  l2_shrinkage_regularization_strength learning_rate_power
Lion: beta_1 beta_2
LossScaleOptimizer: dynamic dynamic_growth_steps initial_scale inner_optimizer
Muon: adam_beta_1 adam_beta_2 adam_lr_ratio adam_weight_decay epsilon exclude_embeddings exclude_layers momentum
  muon_a muon_b muon_c nesterov ns_steps rms_rate
RMSprop: centered epsilon momentum rho
SGD: momentum nesterov
ScheduleFreeAdamW: beta_1 beta_2 epsilon warmup_steps
[keras.optimizers.schedules]
CosineDecay: alpha decay_steps initial_learning_rate name warmup_steps warmup_target
CosineDecayRestarts: alpha first_decay_steps initial_learning_rate m_mul name t_mul
ExponentialDecay InverseTimeDecay: decay_rate decay_steps initial_learning_rate name staircase
PiecewiseConstantDecay: boundaries name values
PolynomialDecay: cycle decay_steps end_learning_rate initial_learning_rate name power
[keras.quantizers]
AbsMaxQuantizer: axis epsilon output_dtype value_range
Float8QuantizationConfig Int8QuantizationConfig: activation_quantizer weight_quantizer
Int4QuantizationConfig: activation_quantizer block_size weight_quantizer
[keras.regularizers]
L1: l1
L1L2: l1 l2
L2: l2
OrthogonalRegularizer: factor mode
[keras.src.ops.core]
Cast: dtype
Unstack: axis num
[keras.src.ops.nn]
AveragePool MaxPool: data_format padding pool_size strides
BatchNorm RMSNorm: axis epsilon
Celu Elu: alpha
Conv DepthwiseConv SeparableConv: data_format dilation_rate padding strides
ConvTranspose: data_format dilation_rate output_padding padding strides
DepthToSpace SpaceToDepth: block_size data_format
DotProductAttention: attn_logits_soft_cap flash_attention is_causal
Gelu: approximate
Glu LogSoftmax Softmax Sparsemax: axis
HardShrink SoftShrink: threshold
LayerNorm: axis epsilon rms_scaling
LeakyRelu: negative_slope
Moments: axes keepdims synchronized
MultiHot: axis dtype num_classes num_tokens sparse
Normalize: axis epsilon order
OneHot: axis dtype num_classes sparse
Squareplus: b
Threshold: default_value threshold
[keras.src.ops.numpy]
All Amax Amin Any Argmax Argmin Mean Median Std Sum Var: axis keepdims
Argsort Average Concatenate CountNonzero ExpandDims Flip Sort Squeeze Stack Take TakeAlongAxis: axis
BroadcastTo: shape
Clip: x_max x_min
Cross: axis axisa axisb axisc
Cumprod Cumsum: axis dtype
Diag Tril Triu: k
Diagonal: axis1 axis2 offset
Diff: axis n
Einsum: subscripts
FullLike OnesLike ZerosLike: dtype
Isclose: equal_nan
Max Min: axis initial keepdims
Moveaxis: destination source
NanToNum: nan neginf posinf
Pad: mode pad_width
Prod: axis dtype keepdims
Repeat: axis repeats
Reshape: newshape
Roll: axis shift
Round: decimals
Split: axis indices_or_sections
Swapaxes: axis1 axis2
Tensordot Transpose: axes
Tile: repeats
"""

#: Keys that every class of a module has.
_FAMILIES = {
    "keras.layers": "activity_regularizer autocast dtype input_dim input_shape name trainable",
    "keras.optimizers": """
clipnorm clipvalue decay ema_momentum ema_overwrite_frequency global_clipnorm gradient_accumulation_steps learning_rate
loss_scale_factor name use_ema weight_decay
""",
    "keras.losses": "dtype name reduction",
    "keras.metrics": "dtype name",
    "keras.src.ops.core": "name",
    "keras.src.ops.nn": "name",
    "keras.src.ops.numpy": "name",
}
_MODEL = "activity_regularizer autocast build_input_shape dtype input_layers layers name output_layers trainable"
_MODELS = ("Functional", "Model", "Sequential")
_STARRED = ("initializer", "regularizer", "constraint")


def keys_of(module: str, name: str) -> frozenset[str]:
    """Return the keys that the config of a listed class may have."""
    own = _OWN_KEYS.get((module, name), frozenset())
    family = _MODEL if name in _MODELS else _FAMILIES.get(module, "")
    return own | frozenset(family.split())


def _read_table() -> dict[tuple[str, str], frozenset[str]]:
    keys: dict[tuple[str, str], frozenset[str]] = {}
    module = ""
    for line in _TABLE.replace("\n  ", " ").strip().splitlines():
        names, _, written = line.partition(": ")
        if line.startswith("["):
            module = line.strip("[]")
            continue
        spelled = frozenset(key for word in written.split() for key in _spelled(word))
        keys.update({(module, name): spelled for name in names.split()})
    return keys


def _spelled(word: str) -> tuple[str, ...]:
    if not word.endswith("*"):
        return (word,)
    return tuple(word[:-1] + ending for ending in _STARRED)


_OWN_KEYS = _read_table()
