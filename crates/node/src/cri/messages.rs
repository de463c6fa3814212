//! The messages of `runtime.v1`, as far as they are used: names and field numbers are the published protocol's.

mod container;
mod debug;
mod image;
mod sandbox;
mod signal;
mod stats;

pub(crate) use container::*;
pub(crate) use image::*;
pub(crate) use sandbox::*;
pub(crate) use signal::signal;
pub(crate) use stats::*;

use super::Call;

macro_rules! calls {
    ($service:literal: $($method:ident($request:ty) -> $answer:ty;)*) => {
        $(impl Call for $request {
            const METHOD: &'static str = concat!("/runtime.v1.", $service, "/", stringify!($method));
            type Answer = $answer;
        })*
    };
}

calls! { "RuntimeService":
    Version(VersionRequest) -> VersionResponse;
    Status(StatusRequest) -> StatusResponse;
    RunPodSandbox(RunPodSandboxRequest) -> RunPodSandboxResponse;
    StopPodSandbox(StopPodSandboxRequest) -> Empty;
    RemovePodSandbox(RemovePodSandboxRequest) -> Empty;
    PodSandboxStatus(PodSandboxStatusRequest) -> PodSandboxStatusResponse;
    ListPodSandbox(ListPodSandboxRequest) -> ListPodSandboxResponse;
    CreateContainer(CreateContainerRequest) -> CreateContainerResponse;
    StartContainer(StartContainerRequest) -> Empty;
    StopContainer(StopContainerRequest) -> Empty;
    RemoveContainer(RemoveContainerRequest) -> Empty;
    ListContainers(ListContainersRequest) -> ListContainersResponse;
    ContainerStatus(ContainerStatusRequest) -> ContainerStatusResponse;
    UpdateContainerResources(UpdateContainerResourcesRequest) -> Empty;
    ReopenContainerLog(ReopenContainerLogRequest) -> Empty;
    Exec(ExecRequest) -> UrlResponse;
    Attach(AttachRequest) -> UrlResponse;
    PortForward(PortForwardRequest) -> UrlResponse;
    ListContainerStats(ListContainerStatsRequest) -> ListContainerStatsResponse;
    ListPodSandboxStats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
    GetContainerEvents(GetEventsRequest) -> ContainerEventResponse;
}

calls! { "ImageService":
    ListImages(ListImagesRequest) -> ListImagesResponse;
    ImageStatus(ImageStatusRequest) -> ImageStatusResponse;
    PullImage(PullImageRequest) -> PullImageResponse;
    RemoveImage(RemoveImageRequest) -> Empty;
    ImageFsInfo(ImageFsInfoRequest) -> ImageFsInfoResponse;
}

/// An answer that says nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

/// Who asks, and who answers.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VersionRequest {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(crate) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(crate) runtime_version: String,
}

/// How the runtime is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusRequest {
    #[prost(bool, tag = "1")]
    pub(crate) verbose: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<RuntimeStatus>,
    /// Whatever the runtime wants to say, as JSON.
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) info: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    pub(crate) conditions: Vec<RuntimeCondition>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RuntimeCondition {
    #[prost(string, tag = "1")]
    pub(crate) r#type: String,
    #[prost(bool, tag = "2")]
    pub(crate) status: bool,
    #[prost(string, tag = "3")]
    pub(crate) reason: String,
    #[prost(string, tag = "4")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetEventsRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerEventResponse {
    #[prost(string, tag = "1")]
    pub(crate) container_id: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) pod_sandbox_status: Option<PodSandboxStatus>,
}

/// A number that may be absent.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Int64Value {
    #[prost(int64, tag = "1")]
    pub(crate) value: i64,
}

/// A number that may be absent.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub(crate) value: u64,
}
