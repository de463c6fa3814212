//! The descriptors, as a whole.

use std::time::Instant;

use sampan_schema::{ListSemantics, Presence, Shape};

#[test]
fn every_resource_has_the_schema_of_its_kind() {
    let types = sampan_builtins::types();
    for resource in sampan_builtins::resources(&types) {
        let name = resource.schema.ty().name.clone().unwrap_or_default();
        assert!(name.ends_with(resource.kind.as_str()), "{:?} has the schema {name}", resource.gvr);
        for sub in &resource.subresources {
            let name = sub.schema.ty().name.clone().unwrap_or_default();
            let connects = sub.kind.kind.ends_with("Options");
            assert!(
                connects || name.ends_with(sub.kind.kind.as_str()),
                "{:?}/{} has {name}",
                resource.gvr,
                sub.name
            );
        }
    }
}

#[test]
fn the_types_carry_the_overlay() {
    let types = sampan_builtins::types();
    let object = |name: &str| match &types.get(types.find(name).unwrap()).shape {
        Shape::Object(object) => object.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let spec = object("io.k8s.api.core.v1.PodSpec");
    let containers = spec.field("containers").unwrap();
    assert!(containers.required && containers.presence == Presence::Always && containers.patch.merge);
    let Shape::List { semantics, .. } = &types.get(containers.ty).shape else {
        panic!("containers is no list")
    };
    assert_eq!(*semantics, ListSemantics::Map(vec!["name".into()]));
    assert_eq!(spec.field("hostNetwork").unwrap().presence, Presence::OmitZero);
    assert_eq!(spec.field("terminationGracePeriodSeconds").unwrap().presence, Presence::KeepZero);
    let ports = object("io.k8s.api.core.v1.ContainerPort");
    assert_eq!(ports.field("protocol").unwrap().default, Some("TCP".into()));
    let selector = object("io.k8s.api.core.v1.ServiceSpec").field("selector").unwrap().ty;
    assert!(matches!(types.get(selector).shape, Shape::Map { atomic: true, .. }));
}

#[test]
fn printers_give_a_cell_to_each_column() {
    let types = sampan_builtins::types();
    let object = serde_json::from_str(r#"{"metadata":{"name":"x"}}"#).unwrap();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    for resource in sampan_builtins::resources(&types) {
        let (columns, cells) = (resource.table.columns().len(), resource.table.cells(&object, now).len());
        assert_eq!(columns, cells, "{:?}", resource.gvr);
    }
}

#[test]
fn the_types_load_in_no_time() {
    let start = Instant::now();
    let types = sampan_builtins::types();
    let loaded = start.elapsed();
    let resources = sampan_builtins::resources(&types);
    println!("types {loaded:?}, with {} resources {:?}", resources.len(), start.elapsed());
    // Generous: a debug build on a busy machine. In release it takes a millisecond.
    assert!(loaded.as_millis() < 200, "{loaded:?}");
}
