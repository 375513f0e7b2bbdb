"""The structures of OPC UA as data: what stands in which order in every service and in what services carry.

Pure.  One structure a line, `field:type` in the order of the wire, `[]` for an array; enumerations are ``Int32``, masks
``UInt32`` (OPC 10000-6, 5.2.4).  Requests and responses are without the header that each begins with.  Facts of
OPC 10000-4 (services, 7 for their parameter types), 10000-5 (diagnostics), 10000-11 (history), 10000-13 (aggregates).
`penstock.wire.opcua.schema` makes readers of them.
"""

from __future__ import annotations

from typing import Final

STRUCTURES: Final = """
RequestHeader AuthenticationToken:NodeId Timestamp:DateTime RequestHandle:UInt32 ReturnDiagnostics:UInt32
    AuditEntryId:String TimeoutHint:UInt32 AdditionalHeader:ExtensionObject
ResponseHeader Timestamp:DateTime RequestHandle:UInt32 ServiceResult:StatusCode ServiceDiagnostics:DiagnosticInfo
    StringTable:String[] AdditionalHeader:ExtensionObject
ApplicationDescription ApplicationUri:String ProductUri:String ApplicationName:LocalizedText ApplicationType:Int32
    GatewayServerUri:String DiscoveryProfileUri:String DiscoveryUrls:String[]
UserTokenPolicy PolicyId:String TokenType:Int32 IssuedTokenType:String IssuerEndpointUrl:String
    SecurityPolicyUri:String
EndpointDescription EndpointUrl:String Server:ApplicationDescription ServerCertificate:ByteString SecurityMode:Int32
    SecurityPolicyUri:String UserIdentityTokens:UserTokenPolicy[] TransportProfileUri:String SecurityLevel:Byte
RegisteredServer ServerUri:String ProductUri:String ServerNames:LocalizedText[] ServerType:Int32
    GatewayServerUri:String DiscoveryUrls:String[] SemaphoreFilePath:String IsOnline:Boolean
ChannelSecurityToken ChannelId:UInt32 TokenId:UInt32 CreatedAt:DateTime RevisedLifetime:UInt32
SignedSoftwareCertificate CertificateData:ByteString Signature:ByteString
SignatureData Algorithm:String Signature:ByteString
AddNodesItem ParentNodeId:ExpandedNodeId ReferenceTypeId:NodeId RequestedNewNodeId:ExpandedNodeId
    BrowseName:QualifiedName NodeClass:Int32 NodeAttributes:ExtensionObject TypeDefinition:ExpandedNodeId
AddNodesResult StatusCode:StatusCode AddedNodeId:NodeId
AddReferencesItem SourceNodeId:NodeId ReferenceTypeId:NodeId IsForward:Boolean TargetServerUri:String
    TargetNodeId:ExpandedNodeId TargetNodeClass:Int32
DeleteNodesItem NodeId:NodeId DeleteTargetReferences:Boolean
DeleteReferencesItem SourceNodeId:NodeId ReferenceTypeId:NodeId IsForward:Boolean TargetNodeId:ExpandedNodeId
    DeleteBidirectional:Boolean
ViewDescription ViewId:NodeId Timestamp:DateTime ViewVersion:UInt32
BrowseDescription NodeId:NodeId BrowseDirection:Int32 ReferenceTypeId:NodeId IncludeSubtypes:Boolean
    NodeClassMask:UInt32 ResultMask:UInt32
ReferenceDescription ReferenceTypeId:NodeId IsForward:Boolean NodeId:ExpandedNodeId BrowseName:QualifiedName
    DisplayName:LocalizedText NodeClass:Int32 TypeDefinition:ExpandedNodeId
BrowseResult StatusCode:StatusCode ContinuationPoint:ByteString References:ReferenceDescription[]
RelativePathElement ReferenceTypeId:NodeId IsInverse:Boolean IncludeSubtypes:Boolean TargetName:QualifiedName
RelativePath Elements:RelativePathElement[]
BrowsePath StartingNode:NodeId RelativePath:RelativePath
BrowsePathTarget TargetId:ExpandedNodeId RemainingPathIndex:UInt32
BrowsePathResult StatusCode:StatusCode Targets:BrowsePathTarget[]
QueryDataDescription RelativePath:RelativePath AttributeId:UInt32 IndexRange:String
NodeTypeDescription TypeDefinitionNode:ExpandedNodeId IncludeSubTypes:Boolean DataToReturn:QueryDataDescription[]
ContentFilterElement FilterOperator:Int32 FilterOperands:ExtensionObject[]
ContentFilter Elements:ContentFilterElement[]
QueryDataSet NodeId:ExpandedNodeId TypeDefinitionNode:ExpandedNodeId Values:Variant[]
ParsingResult StatusCode:StatusCode DataStatusCodes:StatusCode[] DataDiagnosticInfos:DiagnosticInfo[]
ContentFilterElementResult StatusCode:StatusCode OperandStatusCodes:StatusCode[]
    OperandDiagnosticInfos:DiagnosticInfo[]
ContentFilterResult ElementResults:ContentFilterElementResult[] ElementDiagnosticInfos:DiagnosticInfo[]
ReadValueId NodeId:NodeId AttributeId:UInt32 IndexRange:String DataEncoding:QualifiedName
HistoryReadValueId NodeId:NodeId IndexRange:String DataEncoding:QualifiedName ContinuationPoint:ByteString
HistoryReadResult StatusCode:StatusCode ContinuationPoint:ByteString HistoryData:ExtensionObject
WriteValue NodeId:NodeId AttributeId:UInt32 IndexRange:String Value:DataValue
HistoryUpdateResult StatusCode:StatusCode OperationResults:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
CallMethodRequest ObjectId:NodeId MethodId:NodeId InputArguments:Variant[]
CallMethodResult StatusCode:StatusCode InputArgumentResults:StatusCode[] InputArgumentDiagnosticInfos:DiagnosticInfo[]
    OutputArguments:Variant[]
MonitoringParameters ClientHandle:UInt32 SamplingInterval:Double Filter:ExtensionObject QueueSize:UInt32
    DiscardOldest:Boolean
MonitoredItemCreateRequest ItemToMonitor:ReadValueId MonitoringMode:Int32 RequestedParameters:MonitoringParameters
MonitoredItemCreateResult StatusCode:StatusCode MonitoredItemId:UInt32 RevisedSamplingInterval:Double
    RevisedQueueSize:UInt32 FilterResult:ExtensionObject
MonitoredItemModifyRequest MonitoredItemId:UInt32 RequestedParameters:MonitoringParameters
MonitoredItemModifyResult StatusCode:StatusCode RevisedSamplingInterval:Double RevisedQueueSize:UInt32
    FilterResult:ExtensionObject
SubscriptionAcknowledgement SubscriptionId:UInt32 SequenceNumber:UInt32
NotificationMessage SequenceNumber:UInt32 PublishTime:DateTime NotificationData:ExtensionObject[]
TransferResult StatusCode:StatusCode AvailableSequenceNumbers:UInt32[]
ServerOnNetwork RecordId:UInt32 ServerName:String DiscoveryUrl:String ServerCapabilities:String[]
AnonymousIdentityToken PolicyId:String
UserNameIdentityToken PolicyId:String UserName:String Password:ByteString EncryptionAlgorithm:String
X509IdentityToken PolicyId:String CertificateData:ByteString
IssuedIdentityToken PolicyId:String TokenData:ByteString EncryptionAlgorithm:String
DataChangeFilter Trigger:Int32 DeadbandType:UInt32 DeadbandValue:Double
SimpleAttributeOperand TypeDefinitionId:NodeId BrowsePath:QualifiedName[] AttributeId:UInt32 IndexRange:String
EventFilter SelectClauses:SimpleAttributeOperand[] WhereClause:ContentFilter
AggregateConfiguration UseServerCapabilitiesDefaults:Boolean TreatUncertainAsBad:Boolean PercentDataBad:Byte
    PercentDataGood:Byte UseSlopedExtrapolation:Boolean
AggregateFilter StartTime:DateTime AggregateType:NodeId ProcessingInterval:Double
    AggregateConfiguration:AggregateConfiguration
EventFilterResult SelectClauseResults:StatusCode[] SelectClauseDiagnosticInfos:DiagnosticInfo[]
    WhereClauseResult:ContentFilterResult
AggregateFilterResult RevisedStartTime:DateTime RevisedProcessingInterval:Double
    RevisedAggregateConfiguration:AggregateConfiguration
ElementOperand Index:UInt32
LiteralOperand Value:Variant
AttributeOperand NodeId:NodeId Alias:String BrowsePath:RelativePath AttributeId:UInt32 IndexRange:String
ReadRawModifiedDetails IsReadModified:Boolean StartTime:DateTime EndTime:DateTime NumValuesPerNode:UInt32
    ReturnBounds:Boolean
ReadProcessedDetails StartTime:DateTime EndTime:DateTime ProcessingInterval:Double AggregateType:NodeId[]
    AggregateConfiguration:AggregateConfiguration
ReadAtTimeDetails ReqTimes:DateTime[] UseSimpleBounds:Boolean
ReadEventDetails NumValuesPerNode:UInt32 StartTime:DateTime EndTime:DateTime Filter:EventFilter
HistoryData DataValues:DataValue[]
ModificationInfo ModificationTime:DateTime UpdateType:Int32 UserName:String
HistoryModifiedData DataValues:DataValue[] ModificationInfos:ModificationInfo[]
HistoryEventFieldList EventFields:Variant[]
HistoryEvent Events:HistoryEventFieldList[]
UpdateDataDetails NodeId:NodeId PerformInsertReplace:Int32 UpdateValues:DataValue[]
UpdateStructureDataDetails NodeId:NodeId PerformInsertReplace:Int32 UpdateValues:DataValue[]
UpdateEventDetails NodeId:NodeId PerformInsertReplace:Int32 Filter:EventFilter EventData:HistoryEventFieldList[]
DeleteRawModifiedDetails NodeId:NodeId IsDeleteModified:Boolean StartTime:DateTime EndTime:DateTime
DeleteAtTimeDetails NodeId:NodeId ReqTimes:DateTime[]
DeleteEventDetails NodeId:NodeId EventIds:ByteString[]
ReadAnnotationDataDetails ReqTimes:DateTime[]
KeyValuePair Key:QualifiedName Value:Variant
AdditionalParametersType Parameters:KeyValuePair[]
EphemeralKeyType PublicKey:ByteString Signature:ByteString
ObjectAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 EventNotifier:Byte
VariableAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 Value:Variant DataType:NodeId ValueRank:Int32 ArrayDimensions:UInt32[] AccessLevel:Byte
    UserAccessLevel:Byte MinimumSamplingInterval:Double Historizing:Boolean
MethodAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 Executable:Boolean UserExecutable:Boolean
ObjectTypeAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 IsAbstract:Boolean
VariableTypeAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 Value:Variant DataType:NodeId ValueRank:Int32 ArrayDimensions:UInt32[] IsAbstract:Boolean
ReferenceTypeAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText
    WriteMask:UInt32 UserWriteMask:UInt32 IsAbstract:Boolean Symmetric:Boolean InverseName:LocalizedText
DataTypeAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 IsAbstract:Boolean
ViewAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 ContainsNoLoops:Boolean EventNotifier:Byte
GenericAttributeValue AttributeId:UInt32 Value:Variant
GenericAttributes SpecifiedAttributes:UInt32 DisplayName:LocalizedText Description:LocalizedText WriteMask:UInt32
    UserWriteMask:UInt32 AttributeValues:GenericAttributeValue[]
MonitoredItemNotification ClientHandle:UInt32 Value:DataValue
DataChangeNotification MonitoredItems:MonitoredItemNotification[] DiagnosticInfos:DiagnosticInfo[]
EventFieldList ClientHandle:UInt32 EventFields:Variant[]
EventNotificationList Events:EventFieldList[]
StatusChangeNotification Status:StatusCode DiagnosticInfo:DiagnosticInfo
Argument Name:String DataType:NodeId ValueRank:Int32 ArrayDimensions:UInt32[] Description:LocalizedText
StructureField Name:String Description:LocalizedText DataType:NodeId ValueRank:Int32 ArrayDimensions:UInt32[]
    MaxStringLength:UInt32 IsOptional:Boolean
StructureDefinition DefaultEncodingId:NodeId BaseDataType:NodeId StructureType:Int32 Fields:StructureField[]
EnumField Value:Int64 DisplayName:LocalizedText Description:LocalizedText Name:String
EnumDefinition Fields:EnumField[]
SessionSecurityDiagnosticsDataType SessionId:NodeId ClientUserIdOfSession:String ClientUserIdHistory:String[]
    AuthenticationMechanism:String Encoding:String TransportProtocol:String SecurityMode:Int32 SecurityPolicyUri:String
    ClientCertificate:ByteString
ServiceCounterDataType TotalCount:UInt32 ErrorCount:UInt32
SessionDiagnosticsDataType SessionId:NodeId SessionName:String ClientDescription:ApplicationDescription
    ServerUri:String EndpointUrl:String LocaleIds:String[] ActualSessionTimeout:Double MaxResponseMessageSize:UInt32
    ClientConnectionTime:DateTime ClientLastContactTime:DateTime CurrentSubscriptionsCount:UInt32
    CurrentMonitoredItemsCount:UInt32 CurrentPublishRequestsInQueue:UInt32 TotalRequestCount:ServiceCounterDataType
    UnauthorizedRequestCount:UInt32 ReadCount:ServiceCounterDataType HistoryReadCount:ServiceCounterDataType
    WriteCount:ServiceCounterDataType HistoryUpdateCount:ServiceCounterDataType CallCount:ServiceCounterDataType
    CreateMonitoredItemsCount:ServiceCounterDataType ModifyMonitoredItemsCount:ServiceCounterDataType
    SetMonitoringModeCount:ServiceCounterDataType SetTriggeringCount:ServiceCounterDataType
    DeleteMonitoredItemsCount:ServiceCounterDataType CreateSubscriptionCount:ServiceCounterDataType
    ModifySubscriptionCount:ServiceCounterDataType SetPublishingModeCount:ServiceCounterDataType
    PublishCount:ServiceCounterDataType RepublishCount:ServiceCounterDataType
    TransferSubscriptionsCount:ServiceCounterDataType DeleteSubscriptionsCount:ServiceCounterDataType
    AddNodesCount:ServiceCounterDataType AddReferencesCount:ServiceCounterDataType
    DeleteNodesCount:ServiceCounterDataType DeleteReferencesCount:ServiceCounterDataType
    BrowseCount:ServiceCounterDataType BrowseNextCount:ServiceCounterDataType
    TranslateBrowsePathsToNodeIdsCount:ServiceCounterDataType QueryFirstCount:ServiceCounterDataType
    QueryNextCount:ServiceCounterDataType RegisterNodesCount:ServiceCounterDataType
    UnregisterNodesCount:ServiceCounterDataType
SubscriptionDiagnosticsDataType SessionId:NodeId SubscriptionId:UInt32 Priority:Byte PublishingInterval:Double
    MaxKeepAliveCount:UInt32 MaxLifetimeCount:UInt32 MaxNotificationsPerPublish:UInt32 PublishingEnabled:Boolean
    ModifyCount:UInt32 EnableCount:UInt32 DisableCount:UInt32 RepublishRequestCount:UInt32
    RepublishMessageRequestCount:UInt32 RepublishMessageCount:UInt32 TransferRequestCount:UInt32
    TransferredToAltClientCount:UInt32 TransferredToSameClientCount:UInt32 PublishRequestCount:UInt32
    DataChangeNotificationsCount:UInt32 EventNotificationsCount:UInt32 NotificationsCount:UInt32
    LatePublishRequestCount:UInt32 CurrentKeepAliveCount:UInt32 CurrentLifetimeCount:UInt32
    UnacknowledgedMessageCount:UInt32 DiscardedMessageCount:UInt32 MonitoredItemCount:UInt32
    DisabledMonitoredItemCount:UInt32 MonitoringQueueOverflowCount:UInt32 NextSequenceNumber:UInt32
    EventQueueOverflowCount:UInt32
ModelChangeStructureDataType Affected:NodeId AffectedType:NodeId Verb:Byte
SemanticChangeStructureDataType Affected:NodeId AffectedType:NodeId
"""

#: OPC 10000-4, 5: every service, in the order of the numbers of its requests.
MESSAGES: Final = """
TestStackRequest TestId:UInt32 Iteration:Int32 Input:Variant
TestStackResponse Output:Variant
FindServersRequest EndpointUrl:String LocaleIds:String[] ServerUris:String[]
FindServersResponse Servers:ApplicationDescription[]
GetEndpointsRequest EndpointUrl:String LocaleIds:String[] ProfileUris:String[]
GetEndpointsResponse Endpoints:EndpointDescription[]
RegisterServerRequest Server:RegisteredServer
RegisterServerResponse
OpenSecureChannelRequest ClientProtocolVersion:UInt32 RequestType:Int32 SecurityMode:Int32 ClientNonce:ByteString
    RequestedLifetime:UInt32
OpenSecureChannelResponse ServerProtocolVersion:UInt32 SecurityToken:ChannelSecurityToken ServerNonce:ByteString
CloseSecureChannelRequest
CloseSecureChannelResponse
CreateSessionRequest ClientDescription:ApplicationDescription ServerUri:String EndpointUrl:String SessionName:String
    ClientNonce:ByteString ClientCertificate:ByteString RequestedSessionTimeout:Double MaxResponseMessageSize:UInt32
CreateSessionResponse SessionId:NodeId AuthenticationToken:NodeId RevisedSessionTimeout:Double ServerNonce:ByteString
    ServerCertificate:ByteString ServerEndpoints:EndpointDescription[]
    ServerSoftwareCertificates:SignedSoftwareCertificate[] ServerSignature:SignatureData MaxRequestMessageSize:UInt32
ActivateSessionRequest ClientSignature:SignatureData ClientSoftwareCertificates:SignedSoftwareCertificate[]
    LocaleIds:String[] UserIdentityToken:ExtensionObject UserTokenSignature:SignatureData
ActivateSessionResponse ServerNonce:ByteString Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
CloseSessionRequest DeleteSubscriptions:Boolean
CloseSessionResponse
CancelRequest RequestHandle:UInt32
CancelResponse CancelCount:UInt32
AddNodesRequest NodesToAdd:AddNodesItem[]
AddNodesResponse Results:AddNodesResult[] DiagnosticInfos:DiagnosticInfo[]
AddReferencesRequest ReferencesToAdd:AddReferencesItem[]
AddReferencesResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
DeleteNodesRequest NodesToDelete:DeleteNodesItem[]
DeleteNodesResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
DeleteReferencesRequest ReferencesToDelete:DeleteReferencesItem[]
DeleteReferencesResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
BrowseRequest View:ViewDescription RequestedMaxReferencesPerNode:UInt32 NodesToBrowse:BrowseDescription[]
BrowseResponse Results:BrowseResult[] DiagnosticInfos:DiagnosticInfo[]
BrowseNextRequest ReleaseContinuationPoints:Boolean ContinuationPoints:ByteString[]
BrowseNextResponse Results:BrowseResult[] DiagnosticInfos:DiagnosticInfo[]
TranslateBrowsePathsToNodeIdsRequest BrowsePaths:BrowsePath[]
TranslateBrowsePathsToNodeIdsResponse Results:BrowsePathResult[] DiagnosticInfos:DiagnosticInfo[]
RegisterNodesRequest NodesToRegister:NodeId[]
RegisterNodesResponse RegisteredNodeIds:NodeId[]
UnregisterNodesRequest NodesToUnregister:NodeId[]
UnregisterNodesResponse
QueryFirstRequest View:ViewDescription NodeTypes:NodeTypeDescription[] Filter:ContentFilter MaxDataSetsToReturn:UInt32
    MaxReferencesToReturn:UInt32
QueryFirstResponse QueryDataSets:QueryDataSet[] ContinuationPoint:ByteString ParsingResults:ParsingResult[]
    DiagnosticInfos:DiagnosticInfo[] FilterResult:ContentFilterResult
QueryNextRequest ReleaseContinuationPoint:Boolean ContinuationPoint:ByteString
QueryNextResponse QueryDataSets:QueryDataSet[] RevisedContinuationPoint:ByteString
ReadRequest MaxAge:Double TimestampsToReturn:Int32 NodesToRead:ReadValueId[]
ReadResponse Results:DataValue[] DiagnosticInfos:DiagnosticInfo[]
HistoryReadRequest HistoryReadDetails:ExtensionObject TimestampsToReturn:Int32 ReleaseContinuationPoints:Boolean
    NodesToRead:HistoryReadValueId[]
HistoryReadResponse Results:HistoryReadResult[] DiagnosticInfos:DiagnosticInfo[]
WriteRequest NodesToWrite:WriteValue[]
WriteResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
HistoryUpdateRequest HistoryUpdateDetails:ExtensionObject[]
HistoryUpdateResponse Results:HistoryUpdateResult[] DiagnosticInfos:DiagnosticInfo[]
CallRequest MethodsToCall:CallMethodRequest[]
CallResponse Results:CallMethodResult[] DiagnosticInfos:DiagnosticInfo[]
CreateMonitoredItemsRequest SubscriptionId:UInt32 TimestampsToReturn:Int32 ItemsToCreate:MonitoredItemCreateRequest[]
CreateMonitoredItemsResponse Results:MonitoredItemCreateResult[] DiagnosticInfos:DiagnosticInfo[]
ModifyMonitoredItemsRequest SubscriptionId:UInt32 TimestampsToReturn:Int32 ItemsToModify:MonitoredItemModifyRequest[]
ModifyMonitoredItemsResponse Results:MonitoredItemModifyResult[] DiagnosticInfos:DiagnosticInfo[]
SetMonitoringModeRequest SubscriptionId:UInt32 MonitoringMode:Int32 MonitoredItemIds:UInt32[]
SetMonitoringModeResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
SetTriggeringRequest SubscriptionId:UInt32 TriggeringItemId:UInt32 LinksToAdd:UInt32[] LinksToRemove:UInt32[]
SetTriggeringResponse AddResults:StatusCode[] AddDiagnosticInfos:DiagnosticInfo[] RemoveResults:StatusCode[]
    RemoveDiagnosticInfos:DiagnosticInfo[]
DeleteMonitoredItemsRequest SubscriptionId:UInt32 MonitoredItemIds:UInt32[]
DeleteMonitoredItemsResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
CreateSubscriptionRequest RequestedPublishingInterval:Double RequestedLifetimeCount:UInt32
    RequestedMaxKeepAliveCount:UInt32 MaxNotificationsPerPublish:UInt32 PublishingEnabled:Boolean Priority:Byte
CreateSubscriptionResponse SubscriptionId:UInt32 RevisedPublishingInterval:Double RevisedLifetimeCount:UInt32
    RevisedMaxKeepAliveCount:UInt32
ModifySubscriptionRequest SubscriptionId:UInt32 RequestedPublishingInterval:Double RequestedLifetimeCount:UInt32
    RequestedMaxKeepAliveCount:UInt32 MaxNotificationsPerPublish:UInt32 Priority:Byte
ModifySubscriptionResponse RevisedPublishingInterval:Double RevisedLifetimeCount:UInt32
    RevisedMaxKeepAliveCount:UInt32
SetPublishingModeRequest PublishingEnabled:Boolean SubscriptionIds:UInt32[]
SetPublishingModeResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
PublishRequest SubscriptionAcknowledgements:SubscriptionAcknowledgement[]
PublishResponse SubscriptionId:UInt32 AvailableSequenceNumbers:UInt32[] MoreNotifications:Boolean
    NotificationMessage:NotificationMessage Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
RepublishRequest SubscriptionId:UInt32 RetransmitSequenceNumber:UInt32
RepublishResponse NotificationMessage:NotificationMessage
TransferSubscriptionsRequest SubscriptionIds:UInt32[] SendInitialValues:Boolean
TransferSubscriptionsResponse Results:TransferResult[] DiagnosticInfos:DiagnosticInfo[]
DeleteSubscriptionsRequest SubscriptionIds:UInt32[]
DeleteSubscriptionsResponse Results:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
FindServersOnNetworkRequest StartingRecordId:UInt32 MaxRecordsToReturn:UInt32 ServerCapabilityFilter:String[]
FindServersOnNetworkResponse LastCounterResetTime:DateTime Servers:ServerOnNetwork[]
RegisterServer2Request Server:RegisteredServer DiscoveryConfiguration:ExtensionObject[]
RegisterServer2Response ConfigurationResults:StatusCode[] DiagnosticInfos:DiagnosticInfo[]
ServiceFault
"""

#: The structures that an ExtensionObject may hold and of which the inside is looked at, by the node id of their binary
#: encoding in namespace 0 (OPC 10000-6, A.3).  Every other one is bytes of a known length.
EXTENSIONS: Final = {
    321: "AnonymousIdentityToken",
    324: "UserNameIdentityToken",
    327: "X509IdentityToken",
    940: "IssuedIdentityToken",
    724: "DataChangeFilter",
    727: "EventFilter",
    730: "AggregateFilter",
    736: "EventFilterResult",
    739: "AggregateFilterResult",
    594: "ElementOperand",
    597: "LiteralOperand",
    600: "AttributeOperand",
    603: "SimpleAttributeOperand",
    649: "ReadRawModifiedDetails",
    652: "ReadProcessedDetails",
    655: "ReadAtTimeDetails",
    646: "ReadEventDetails",
    23500: "ReadAnnotationDataDetails",
    658: "HistoryData",
    11227: "HistoryModifiedData",
    661: "HistoryEvent",
    682: "UpdateDataDetails",
    11300: "UpdateStructureDataDetails",
    685: "UpdateEventDetails",
    688: "DeleteRawModifiedDetails",
    691: "DeleteAtTimeDetails",
    694: "DeleteEventDetails",
    354: "ObjectAttributes",
    357: "VariableAttributes",
    360: "MethodAttributes",
    363: "ObjectTypeAttributes",
    366: "VariableTypeAttributes",
    369: "ReferenceTypeAttributes",
    372: "DataTypeAttributes",
    375: "ViewAttributes",
    17611: "GenericAttributes",
    811: "DataChangeNotification",
    916: "EventNotificationList",
    820: "StatusChangeNotification",
    298: "Argument",
    122: "StructureDefinition",
    123: "EnumDefinition",
    628: "ReadValueId",
    520: "ReferenceDescription",
    870: "SessionSecurityDiagnosticsDataType",
    867: "SessionDiagnosticsDataType",
    876: "SubscriptionDiagnosticsDataType",
    879: "ModelChangeStructureDataType",
    899: "SemanticChangeStructureDataType",
    314: "EndpointDescription",
    14846: "KeyValuePair",
    17537: "AdditionalParametersType",
    17549: "EphemeralKeyType",
}
