//! What the shipped component imports and exports, to the letter; and components that are refused.

use harper_host::plugins::Description;
use harper_host::{CLUSTERING_COMPONENT, ComponentSource, Grants, Host, Limits, LoadError};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The functions of an interface; types have no name of their own at this level.
fn functions(engine: &Engine, name: &str, item: &ComponentItem) -> Vec<String> {
    let ComponentItem::ComponentInstance(instance) = item else {
        return vec![format!("{name} is no interface")];
    };
    let functions = instance.exports(engine).filter_map(|(function, item)| match item.ty {
        ComponentItem::ComponentFunc(kind) => {
            let waits = if kind.async_() { "async " } else { "" };
            Some(format!("{name}: {waits}{function}"))
        }
        _ => None,
    });
    functions.collect()
}

/// Two parts with a memory each, of which one calls the other with a text: what joins them has two
/// memories, which wasmtime panics on where they are not allowed.
// covers: plugins.parts
#[tokio::test]
async fn a_component_may_have_parts_with_memories_of_their_own() {
    let parts = r#"(component
        (component $one
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
                (func (export "take") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func (export "take") (param "text" string)
                (canon lift (core func $i "take") (memory (core memory $i "memory"))
                    (realloc (core func $i "realloc")))))
        (component $other
            (import "take" (func $take (param "text" string)))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $lowered
                (canon lower (func $take) (memory (core memory $libc "memory"))))
            (core module $m (import "" "take" (func (param i32 i32))))
            (core instance $i
                (instantiate $m (with "" (instance (export "take" (func $lowered)))))))
        (instance $one (instantiate $one))
        (instance $other (instantiate $other (with "take" (func $one "take")))))"#;
    let described = Description::of_bytes(wat::parse_str(parts).unwrap()).await;
    let error = described.offer.unwrap_err();
    // It is whole, and only exports nothing.
    assert!(matches!(error, LoadError::World { .. }), "{error}");
}

#[test]
fn the_component_imports_and_exports_what_the_wit_says_and_no_wasi() {
    let engine = Engine::default();
    let component = Component::from_binary(&engine, CLUSTERING_COMPONENT).unwrap();
    let kind = component.component_type();
    let mut imports: Vec<_> =
        kind.imports(&engine).flat_map(|(name, item)| functions(&engine, name, &item.ty)).collect();
    imports.sort();
    assert_eq!(
        imports,
        [
            "harper:plugin/clock@0.1.0: async sleep",
            "harper:plugin/clock@0.1.0: monotonic",
            "harper:plugin/config@0.1.0: async get",
            "harper:plugin/config@0.1.0: async set",
            "harper:plugin/jetstream@0.1.0: async inspect",
            "harper:plugin/jetstream@0.1.0: async purge",
            "harper:plugin/log@0.1.0: write",
            "harper:plugin/nats@0.1.0: async request",
            "harper:plugin/nats@0.1.0: async servers",
            "harper:plugin/node@0.1.0: get",
            "harper:plugin/replication@0.1.0: async ensure-streams",
            "harper:plugin/replication@0.1.0: async settle",
            "harper:plugin/tables@0.1.0: async create",
            "harper:plugin/tables@0.1.0: async create-all",
            "harper:plugin/tables@0.1.0: async delete",
            "harper:plugin/tables@0.1.0: async describe",
            "harper:plugin/tables@0.1.0: async get",
            "harper:plugin/tables@0.1.0: async list",
            "harper:plugin/tables@0.1.0: async put",
        ]
    );
    let names: Vec<_> = kind.imports(&engine).map(|(name, _)| name.to_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("harper:plugin/")), "{names:?}");
    let mut exports: Vec<_> =
        kind.exports(&engine).flat_map(|(name, item)| functions(&engine, name, &item.ty)).collect();
    exports.sort();
    assert_eq!(
        exports,
        [
            "harper:plugin/manifest@0.1.0: asks",
            "harper:plugin/operations@0.1.0: async handle",
            "harper:plugin/operations@0.1.0: describe",
            "harper:plugin/peer@0.1.0: async answer",
            "harper:plugin/recovery@0.1.0: async recover",
        ]
    );
}

#[test]
fn no_path_of_the_building_machine_is_shipped() {
    let home = std::env::var("HOME").unwrap();
    for path in [env!("CARGO_MANIFEST_DIR"), &format!("{home}/.cargo")] {
        let found = CLUSTERING_COMPONENT.windows(path.len()).any(|bytes| bytes == path.as_bytes());
        assert!(!found, "{path} is in the component");
    }
}

async fn load_error(component: Vec<u8>) -> LoadError {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(harper_host::config::FILE_NAME), "").unwrap();
    let built = Host::builder()
        .root_path(folder.path())
        .plugin("other", ComponentSource::bytes(component), Grants::default(), Limits::default())
        .build()
        .await;
    match built {
        Err(harper_host::BuildError::Plugin(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was loaded"),
    }
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    for bytes in [b"".to_vec(), b"#!/bin/sh".to_vec(), wat::parse_str("(module)").unwrap()] {
        let error = load_error(bytes).await;
        assert!(matches!(error, LoadError::NotAComponent { .. }), "{error:?}");
        assert!(error.to_string().starts_with("plugin 'other' is not a WebAssembly component: "));
    }
}

#[tokio::test]
async fn wasi_is_refused_with_what_to_do() {
    let component = r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#;
    let error = load_error(wat::parse_str(component).unwrap()).await;
    assert_eq!(
        error.to_string(),
        "plugin 'other' imports wasi:cli/environment@0.2.0: plugins have no WASI; build it for \
         wasm32-unknown-unknown, or stub WASI away (componentize-py: -s, componentize-qjs: \
         --stub-wasi)"
    );
}

// covers: plugins.wit-version
#[tokio::test]
async fn another_version_is_refused_with_what_to_do() {
    let imports = r#"(component (import "harper:plugin/log@0.2.0" (instance)))"#;
    let exports =
        r#"(component (instance $i) (export "harper:plugin/operations@0.2.0" (instance $i)))"#;
    for component in [imports, exports] {
        let error = load_error(wat::parse_str(component).unwrap()).await;
        assert_eq!(
            error.to_string(),
            "plugin 'other' does not fit: this host has harper:plugin@0.1.0, and the plugin wants \
             harper:plugin@0.2.0; build the plugin with the WIT of this host, or run a host that has \
             0.2.0"
        );
    }
}

#[tokio::test]
async fn another_world_is_refused() {
    let imports_more = r#"(component (import "harper:plugin/files@0.1.0" (instance
        (export "read" (func)))))"#;
    // Of a version that fits, and without what a plugin must export.
    let exports_nothing = r#"(component (import "harper:plugin/log@0.1.0" (instance)))"#;
    for component in ["(component)", imports_more, exports_nothing] {
        let error = load_error(wat::parse_str(component).unwrap()).await;
        assert!(matches!(error, LoadError::World { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_operation_that_is_there_already_is_refused() {
    let error = load_error(CLUSTERING_COMPONENT.to_vec()).await;
    let text = "plugin 'other' describes the operation 'cluster_set_routes', which is there already: it is \
         of the plugin 'clustering'";
    assert_eq!(error.to_string(), text);
}
