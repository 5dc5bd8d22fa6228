"""The protobuf messages that a SavedModel is made of, as data: number, name and type of every field.

Source: the descriptors of TensorFlow 2.21 (2026); a test holds this text against the installed ones. ``*`` is a
repeated field, ``map<K,V>`` a map, the last word a oneof of which one field may be set, and ``refused`` what no model
needs: ``google.protobuf.Any``, whose content only code could read.
"""

from __future__ import annotations

from dataclasses import dataclass

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5

#: Scalar type -> how it lies in the file.
WIRE_TYPES = {
    **dict.fromkeys(("int32", "int64", "uint32", "uint64", "sint64", "bool", "enum"), VARINT),
    **dict.fromkeys(("fixed64", "double"), FIXED_64),
    **dict.fromkeys(("fixed32", "float"), FIXED_32),
    **dict.fromkeys(("string", "bytes"), LENGTH),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        kind: a scalar type, ``message``, ``map``, or ``refused``.
        message: the type of a message; of a map, the type of its values.
        key: the type of the keys of a map.
        packed: many numbers in one piece.
        wire: the wire type that its tag has.
        choice: the name of the oneof that it belongs to; empty for none.
    """

    number: int
    name: str
    kind: str
    message: str
    key: str
    repeated: bool
    packed: bool
    wire: int
    choice: str


_TEXT = """
message SavedModel
1 saved_model_schema_version int64
2 meta_graphs *MetaGraphDef
message BundleHeaderProto
1 num_shards int32
2 endianness enum
3 version VersionDef
message BundleEntryProto
1 dtype enum
2 shape TensorShapeProto
3 shard_id int32
4 offset int64
5 size int64
6 crc32c fixed32
7 slices *TensorSliceProto
message TrackableObjectGraph
1 nodes *TrackableObjectGraph.TrackableObject
message MetaGraphDef
1 meta_info_def MetaGraphDef.MetaInfoDef
2 graph_def GraphDef
3 saver_def SaverDef
4 collection_def map<string,CollectionDef>
5 signature_def map<string,SignatureDef>
6 asset_file_def *AssetFileDef
7 object_graph_def SavedObjectGraph
message VersionDef
1 producer int32
2 min_consumer int32
3 bad_consumers *int32
message TensorShapeProto
2 dim *TensorShapeProto.Dim
3 unknown_rank bool
message TensorSliceProto
1 extent *TensorSliceProto.Extent
message TrackableObjectGraph.TrackableObject
1 children *TrackableObjectGraph.TrackableObject.ObjectReference
2 attributes *TrackableObjectGraph.TrackableObject.SerializedTensor
3 slot_variables *TrackableObjectGraph.TrackableObject.SlotVariableReference
4 registered_saver RegisteredSaver
5 has_checkpoint_values google.protobuf.BoolValue
message MetaGraphDef.MetaInfoDef
1 meta_graph_version string
2 stripped_op_list OpList
3 any_info refused
4 tags *string
5 tensorflow_version string
6 tensorflow_git_version string
7 stripped_default_attrs bool
8 function_aliases map<string,string>
message GraphDef
1 node *NodeDef
2 library FunctionDefLibrary
3 version int32
4 versions VersionDef
5 debug_info GraphDebugInfo
message SaverDef
1 filename_tensor_name string
2 save_tensor_name string
3 restore_op_name string
4 max_to_keep int32
5 sharded bool
6 keep_checkpoint_every_n_hours float
7 version enum
message CollectionDef
1 node_list CollectionDef.NodeList kind
2 bytes_list CollectionDef.BytesList kind
3 int64_list CollectionDef.Int64List kind
4 float_list CollectionDef.FloatList kind
5 any_list CollectionDef.AnyList kind
message SignatureDef
1 inputs map<string,TensorInfo>
2 outputs map<string,TensorInfo>
3 method_name string
4 defaults map<string,TensorProto>
message AssetFileDef
1 tensor_info TensorInfo
2 filename string
message SavedObjectGraph
1 nodes *SavedObject
2 concrete_functions map<string,SavedConcreteFunction>
message TensorShapeProto.Dim
1 size int64
2 name string
message TensorSliceProto.Extent
1 start int64
2 length int64 has_length_hack
message TrackableObjectGraph.TrackableObject.ObjectReference
1 node_id int32
2 local_name string
message TrackableObjectGraph.TrackableObject.SerializedTensor
1 name string
2 full_name string
3 checkpoint_key string
message TrackableObjectGraph.TrackableObject.SlotVariableReference
1 original_variable_node_id int32
2 slot_name string
3 slot_variable_node_id int32
message RegisteredSaver
1 name string
2 object_name string
message google.protobuf.BoolValue
1 value bool
message OpList
1 op *OpDef
message NodeDef
1 name string
2 op string
3 input *string
4 device string
5 attr map<string,AttrValue>
6 experimental_debug_info NodeDef.ExperimentalDebugInfo
7 experimental_type FullTypeDef
message FunctionDefLibrary
1 function *FunctionDef
2 gradient *GradientDef
3 registered_gradients *RegisteredGradient
message GraphDebugInfo
1 files *string
2 traces map<string,GraphDebugInfo.StackTrace>
4 frames_by_id map<fixed64,GraphDebugInfo.FileLineCol>
5 name_to_trace_id map<string,fixed64>
6 traces_by_id map<fixed64,GraphDebugInfo.StackTrace>
message CollectionDef.NodeList
1 value *string
message CollectionDef.BytesList
1 value *bytes
message CollectionDef.Int64List
1 value *int64
message CollectionDef.FloatList
1 value *float
message CollectionDef.AnyList
1 value *refused
message TensorInfo
1 name string encoding
2 dtype enum
3 tensor_shape TensorShapeProto
4 coo_sparse TensorInfo.CooSparse encoding
5 composite_tensor TensorInfo.CompositeTensor encoding
message TensorProto
1 dtype enum
2 tensor_shape TensorShapeProto
3 version_number int32
4 tensor_content bytes
5 float_val *float
6 double_val *double
7 int_val *int32
8 string_val *bytes
9 scomplex_val *float
10 int64_val *int64
11 bool_val *bool
12 dcomplex_val *double
13 half_val *int32
14 resource_handle_val *ResourceHandleProto
15 variant_val *VariantTensorDataProto
16 uint32_val *uint32
17 uint64_val *uint64
18 float8_val bytes
message SavedObject
1 children *TrackableObjectGraph.TrackableObject.ObjectReference
3 slot_variables *TrackableObjectGraph.TrackableObject.SlotVariableReference
4 user_object SavedUserObject kind
5 asset SavedAsset kind
6 function SavedFunction kind
7 variable SavedVariable kind
8 bare_concrete_function SavedBareConcreteFunction kind
9 constant SavedConstant kind
10 resource SavedResource kind
11 saveable_objects map<string,SaveableObject>
12 captured_tensor CapturedTensor kind
13 registered_name string
14 serialized_user_proto refused
15 dependencies *TrackableObjectGraph.TrackableObject.ObjectReference
16 registered_saver string
message SavedConcreteFunction
2 bound_inputs *int32
3 canonicalized_input_signature StructuredValue
4 output_signature StructuredValue
message OpDef
1 name string
2 input_arg *OpDef.ArgDef
3 output_arg *OpDef.ArgDef
4 attr *OpDef.AttrDef
5 summary string
6 description string
8 deprecation OpDeprecation
16 is_aggregate bool
17 is_stateful bool
18 is_commutative bool
19 allows_uninitialized_input bool
20 control_output *string
21 is_distributed_communication bool
message AttrValue
1 list AttrValue.ListValue value
2 s bytes value
3 i int64 value
4 f float value
5 b bool value
6 type enum value
7 shape TensorShapeProto value
8 tensor TensorProto value
9 placeholder string value
10 func NameAttrList value
message NodeDef.ExperimentalDebugInfo
1 original_node_names *string
2 original_func_names *string
message FullTypeDef
1 type_id enum
2 args *FullTypeDef
3 s string attr
4 i int64 attr
message FunctionDef
1 signature OpDef
3 node_def *NodeDef
4 ret map<string,string>
5 attr map<string,AttrValue>
6 control_ret map<string,string>
7 arg_attr map<uint32,FunctionDef.ArgAttrs>
8 resource_arg_unique_id map<uint32,uint32>
message GradientDef
1 function_name string
2 gradient_func string
message RegisteredGradient
1 gradient_func string
2 registered_op_type string
message GraphDebugInfo.StackTrace
1 file_line_cols *GraphDebugInfo.FileLineCol
2 frame_id *fixed64
message GraphDebugInfo.FileLineCol
1 file_index int32
2 line int32
3 col int32
4 func string
5 code string
message TensorInfo.CooSparse
1 values_tensor_name string
2 indices_tensor_name string
3 dense_shape_tensor_name string
message TensorInfo.CompositeTensor
1 type_spec TypeSpecProto
2 components *TensorInfo
message ResourceHandleProto
1 device string
2 container string
3 name string
4 hash_code uint64
5 maybe_type_name string
6 dtypes_and_shapes *ResourceHandleProto.DtypeAndShape
message VariantTensorDataProto
1 type_name string
2 metadata bytes
3 tensors *TensorProto
message SavedUserObject
1 identifier string
2 version VersionDef
3 metadata string
message SavedAsset
1 asset_file_def_index int32
message SavedFunction
1 concrete_functions *string
2 function_spec FunctionSpec
message SavedVariable
1 dtype enum
2 shape TensorShapeProto
3 trainable bool
4 synchronization enum
5 aggregation enum
6 name string
7 device string
8 experimental_distributed_variable_components *SavedVariable
message SavedBareConcreteFunction
1 concrete_function_name string
2 argument_keywords *string
3 allowed_positional_arguments int64
4 function_spec FunctionSpec
message SavedConstant
1 operation string
message SavedResource
1 device string
message SaveableObject
2 save_function int32
3 restore_function int32
message CapturedTensor
1 name string
2 concrete_function string
message StructuredValue
1 none_value NoneValue kind
11 float64_value double kind
12 int64_value sint64 kind
13 string_value string kind
14 bool_value bool kind
31 tensor_shape_value TensorShapeProto kind
32 tensor_dtype_value enum kind
33 tensor_spec_value TensorSpecProto kind
34 type_spec_value TypeSpecProto kind
35 bounded_tensor_spec_value BoundedTensorSpecProto kind
51 list_value ListValue kind
52 tuple_value TupleValue kind
53 dict_value DictValue kind
54 named_tuple_value NamedTupleValue kind
55 tensor_value TensorProto kind
56 numpy_value TensorProto kind
message OpDef.ArgDef
1 name string
2 description string
3 type enum
4 type_attr string
5 number_attr string
6 type_list_attr string
7 handle_data *ResourceHandleProto.DtypeAndShape
16 is_ref bool
17 experimental_full_type FullTypeDef
message OpDef.AttrDef
1 name string
2 type string
3 default_value AttrValue
4 description string
5 has_minimum bool
6 minimum int64
7 allowed_values AttrValue
message OpDeprecation
1 version int32
2 explanation string
message AttrValue.ListValue
2 s *bytes
3 i *int64
4 f *float
5 b *bool
6 type *enum
7 shape *TensorShapeProto
8 tensor *TensorProto
9 func *NameAttrList
message NameAttrList
1 name string
2 attr map<string,AttrValue>
message FunctionDef.ArgAttrs
1 attr map<string,AttrValue>
message TypeSpecProto
1 type_spec_class enum
2 type_state StructuredValue
3 type_spec_class_name string
4 num_flat_components int32
message ResourceHandleProto.DtypeAndShape
1 dtype enum
2 shape TensorShapeProto
message FunctionSpec
1 fullargspec StructuredValue
2 is_method bool
5 input_signature StructuredValue
6 jit_compile enum
message NoneValue
message TensorSpecProto
1 name string
2 shape TensorShapeProto
3 dtype enum
message BoundedTensorSpecProto
1 name string
2 shape TensorShapeProto
3 dtype enum
4 minimum TensorProto
5 maximum TensorProto
message ListValue
1 values *StructuredValue
message TupleValue
1 values *StructuredValue
message DictValue
1 fields map<string,StructuredValue>
message NamedTupleValue
1 name string
2 values *PairValue
message PairValue
1 key string
2 value StructuredValue
"""


def _field(line: str) -> Field:
    number, name, kind, *choice = line.split(" ")
    repeated = kind.startswith("*")
    kind = kind.removeprefix("*")
    key = message = ""
    if kind.startswith("map<"):
        key, _, message = kind[4:-1].partition(",")
        kind = "map"
    elif kind not in WIRE_TYPES and kind != "refused":
        kind, message = "message", kind
    wire = WIRE_TYPES.get(kind, LENGTH)
    packed = repeated and wire != LENGTH
    return Field(int(number), name, kind, message, key, repeated, packed, LENGTH if packed else wire, "".join(choice))


def _messages(text: str) -> dict[str, dict[int, Field]]:
    messages: dict[str, dict[int, Field]] = {}
    for line in text.split("\n"):
        if line.startswith("message "):
            fields = messages[line.removeprefix("message ")] = {}
        elif line:
            field = _field(line)
            fields[field.number] = field
    return messages


#: Message -> number -> field.
MESSAGES = _messages(_TEXT)
