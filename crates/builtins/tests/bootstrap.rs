//! What a new cluster begins with.

use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

#[test]
fn a_new_cluster_begins_with_namespaces_roles_and_the_service_of_the_api() {
    let types = sampan_builtins::types();
    let resources = sampan_builtins::resources(&types);
    let objects = sampan_builtins::bootstrap::objects();
    for (gvr, object) in &objects {
        let resource =
            resources.iter().find(|r| r.gvr == *gvr).unwrap_or_else(|| panic!("no resource {gvr:?}"));
        assert_eq!(object.get("kind").and_then(Value::as_str), Some(resource.kind.as_str()));
        assert_eq!(resource.namespaced, !object.namespace().is_empty(), "{gvr:?} {}", object.name());
    }
    let names = |resource: &str| {
        let of = objects.iter().filter(|(gvr, _)| gvr.resource == resource);
        of.map(|(_, o)| o.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("namespaces"), ["default", "kube-node-lease", "kube-public", "kube-system"]);
    assert!(names("clusterroles").contains(&"cluster-admin".to_owned()));
    // Every version that is served has its APIService, but the group of these and what is there for old manifests.
    let services = names("apiservices");
    for resource in &resources {
        let gv = resource.group_version();
        let expected = gv.group != "apiregistration.k8s.io" && gv.version != "v1beta1";
        assert_eq!(services.contains(&format!("{}.{}", gv.version, gv.group)), expected, "{gv}");
    }
    assert_eq!(names("servicecidrs"), ["kubernetes"]);
    assert_eq!(names("services"), ["kubernetes"]);
}
