"""Keras' own classes and functions, by the exact module and name under which Keras 3 writes them.

Left out on purpose: ``Lambda`` and the wrappers of other code (``TFSMLayer``, ``TorchModuleWrapper``, ``JaxLayer``,
``FlaxLayer``), ``FeatureSpace``, which has no config of its own, and the quantisation by GPTQ and AWQ, whose settings
carry a data set.
"""

from __future__ import annotations

_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional
CategoryEncoding CenterCrop Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D
Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix Dense
DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell
GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity InputLayer
IntegerLookup LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D
MaxPooling3D Maximum MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D
SeparableConv2D SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
SpectralNormalization StackedRNNCells StringLookup Subtract TextVectorization TimeDistributed UnitNormalization
UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_INITIALIZERS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling Zeros
"""
_REGULARIZERS = "L1 L1L2 L2 OrthogonalRegularizer"
_CONSTRAINTS = "MaxNorm MinMaxNorm NonNeg UnitNorm"
_OPTIMIZERS = """
Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam RMSprop SGD
ScheduleFreeAdamW
"""
_SCHEDULES = """
CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
"""
_DTYPE_POLICIES = """
DTypePolicy DTypePolicyMap FloatDTypePolicy Int4DTypePolicy QuantizedDTypePolicy QuantizedFloat8DTypePolicy
"""
_QUANTIZERS = "AbsMaxQuantizer Float8QuantizationConfig Int4QuantizationConfig Int8QuantizationConfig"
_LOSSES = """
BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy CategoricalFocalCrossentropy
CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge Huber KLDivergence LogCosh
MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
SparseCategoricalCrossentropy SquaredHinge Tversky
"""
_METRICS = """
AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy CategoricalHinge
ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence
LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError
MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall R2Score
Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
TopKCategoricalAccuracy TrueNegatives TruePositives
"""
_OPS_NUMPY = """
Abs Absolute Add All Amax Amin Any Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argsort Average
BroadcastTo Ceil Clip Concatenate Cos Cosh CountNonzero Cross Cumprod Cumsum Diag Diagonal Diff Divide DivideNoNan Dot
Einsum Equal Exp Exp2 ExpandDims Expm1 Flip Floor FloorDivide FullLike GetItem Greater GreaterEqual Inner Isclose
Isfinite Isinf Isnan Less LessEqual Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot LogicalOr LogicalXor Matmul Max
Maximum Mean Median Min Minimum Mod Moveaxis Multiply NanToNum Negative NotEqual OnesLike Outer Pad Power Prod Ravel
Reciprocal Repeat Reshape Roll Round Select Sign Sin Sinh Sort Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes
Take TakeAlongAxis Tan Tanh Tensordot Tile Transpose Tril Triu TrueDivide Trunc Var Vstack Where ZerosLike
"""
_OPS_NN = """
AveragePool BatchNorm Celu Conv ConvTranspose DepthToSpace DepthwiseConv DotProductAttention Elu Gelu Glu HardShrink
HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments MultiHot Normalize OneHot
RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign SpaceToDepth SparsePlus
SparseSigmoid Sparsemax Squareplus TanhShrink Threshold
"""
_FUNCTIONS = {
    "activation": """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
squareplus swish tanh tanh_shrink threshold
""",
    "loss": """
binary_crossentropy bce binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy
categorical_generalized_cross_entropy categorical_hinge circle cosine_similarity ctc dice hinge huber kl_divergence kld
log_cosh mean_absolute_error mae mean_absolute_percentage_error mape mean_squared_error mse
mean_squared_logarithmic_error msle poisson sparse_categorical_crossentropy squared_hinge tversky
""",
    "metric": """
accuracy acc crossentropy ce binary_accuracy categorical_accuracy concordance_correlation pearson_correlation
sparse_categorical_accuracy sparse_top_k_categorical_accuracy top_k_categorical_accuracy auc precision recall f1_score
r2_score root_mean_squared_error rmse
""",
}


def _pairs(module: str, names: str) -> set[tuple[str, str]]:
    return {(module, name) for name in names.split()}


#: (module, class name) of everything that may stand in a config.
CLASSES: frozenset[tuple[str, str]] = frozenset(
    _pairs("keras.layers", _LAYERS)
    | _pairs("keras.initializers", _INITIALIZERS)
    | _pairs("keras.regularizers", _REGULARIZERS)
    | _pairs("keras.constraints", _CONSTRAINTS)
    | _pairs("keras.optimizers", _OPTIMIZERS)
    | _pairs("keras.optimizers.schedules", _SCHEDULES)
    | _pairs("keras.losses", _LOSSES)
    | _pairs("keras.metrics", _METRICS)
    | _pairs("keras.src.ops.numpy", _OPS_NUMPY)
    | _pairs("keras.src.ops.nn", _OPS_NN)
    | _pairs("keras.src.ops.core", "Cast StopGradient Unstack")
    | _pairs("keras", "DTypePolicy FloatDTypePolicy Sequential Model")
    | _pairs("keras.dtype_policies", _DTYPE_POLICIES)
    | _pairs("keras.quantizers", _QUANTIZERS)
    | _pairs("keras.models", "Sequential Model")
    | _pairs("keras.src.models.functional", "Functional")
    | _pairs("keras.src.models.sequential", "Sequential")
    | _pairs("keras.src.models.model", "Model")
)

#: What the root of a config may be.
MODELS = frozenset({"Sequential", "Functional", "Model"})

#: Classes that run code which the file carries, or that it names, whatever module they are said to come from.
CODE_CLASSES = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})

#: Modules in which a class that is not listed is still one of Keras' own.
MODULES = frozenset(module for module, _ in CLASSES)


def _folded(names: str) -> set[str]:
    return {fold(name) for name in names.split()}


def fold(name: str) -> str:
    """Return the name without case and underscores: Keras takes ``MeanSquaredError`` and ``mean_squared_error``."""
    return name.replace("_", "").lower()


#: What a text may be where Keras looks it up by name, by what it is looked up as.
TEXTS: dict[str, frozenset[str]] = {
    "activation": frozenset(_folded(_FUNCTIONS["activation"])),
    "initializer": frozenset(_folded(_INITIALIZERS)),
    "regularizer": frozenset(_folded(_REGULARIZERS)),
    "constraint": frozenset(_folded(_CONSTRAINTS)),
    "optimizer": frozenset(_folded(_OPTIMIZERS)),
    "loss": frozenset(_folded(_FUNCTIONS["loss"]) | _folded(_LOSSES)),
    "metric": frozenset(
        _folded(_FUNCTIONS["loss"]) | _folded(_FUNCTIONS["metric"]) | _folded(_LOSSES) | _folded(_METRICS)
    ),
    "standardize": frozenset(_folded("lower_and_strip_punctuation lower strip_punctuation")),
    "split": frozenset(_folded("whitespace character")),
}

_OWN = frozenset(fold(name) for _, name in CLASSES) | frozenset().union(*TEXTS.values()) | {"function"}


def is_own(name: str) -> bool:
    """Tell whether Keras has something of this name, so that a custom object of it would stand in the way."""
    return name in CODE_CLASSES or name.startswith("__") or fold(name) in _OWN


#: Functions that may be named by an object of class ``function``.
FUNCTIONS = frozenset(name for names in _FUNCTIONS.values() for name in names.split())
FUNCTION_MODULES = frozenset({"builtins", "keras.activations", "keras.losses", "keras.metrics"})
