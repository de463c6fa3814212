//! Variables that tell of services: those of Docker links, which is what applications of their time look for.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// The variables of services: of all of the pod's namespace if it wants them (`enableServiceLinks`), and of `kubernetes` in `default` always, unless
/// the namespace has one of that name that tells of itself.
pub fn variables<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut told: Vec<(&str, &Service)> = Vec::new();
    for service in services {
        let (Some(name), of) = (&service.metadata.name, service.metadata.namespace.as_deref()) else {
            continue;
        };
        let own = links && of == Some(namespace);
        let master = of == Some("default") && name == "kubernetes";
        if !(own || master) || address(service).is_none() {
            continue;
        }
        match told.iter_mut().find(|(known, _)| *known == name) {
            Some(known) if own => known.1 = service,
            Some(_) => {}
            None => told.push((name, service)),
        }
    }
    told.sort_by_key(|(name, _)| *name);
    told.iter().flat_map(|(name, service)| of_service(name, service)).collect()
}

fn address(service: &Service) -> Option<&str> {
    let address = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!address.is_empty() && address != "None").then_some(address)
}

fn of_service(name: &str, service: &Service) -> Vec<(String, String)> {
    let Some(address) = address(service) else { return Vec::new() };
    let prefix = variable_name(name);
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
    let mut variables = vec![(format!("{prefix}_SERVICE_HOST"), address.to_owned())];
    let Some(first) = ports.first() else { return variables };
    variables.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.push((format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), port.port.to_string()));
        }
    }
    variables.push((format!("{prefix}_PORT"), url(address, first)));
    for port in ports {
        let (protocol, number) = (protocol(port), port.port);
        let mut key = prefix.clone();
        write!(key, "_PORT_{number}_{}", protocol.to_uppercase()).expect("a string can be written to");
        variables.push((key.clone(), url(address, port)));
        variables.push((format!("{key}_PROTO"), protocol));
        variables.push((format!("{key}_PORT"), number.to_string()));
        variables.push((format!("{key}_ADDR"), address.to_owned()));
    }
    variables
}

fn url(address: &str, port: &ServicePort) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{}://{host}:{}", protocol(port), port.port)
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.as_deref().unwrap_or("TCP").to_lowercase()
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(namespace: &str, name: &str, spec: &Value) -> Service {
        let object = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
        serde_json::from_value(object).expect("a service")
    }

    fn cluster() -> Vec<Service> {
        let https = json!([{"name": "https", "port": 443, "protocol": "TCP"}]);
        vec![
            service("default", "kubernetes", &json!({"clusterIP": "10.96.0.1", "ports": https})),
            service(
                "app",
                "my-db",
                &json!({"clusterIP": "10.96.7.7", "ports": [
                {"name": "sql-main", "port": 5432}, {"name": "notes", "port": 90, "protocol": "UDP"}]}),
            ),
            service("app", "headless", &json!({"clusterIP": "None", "ports": [{"port": 1}]})),
            service("app", "external", &json!({"type": "ExternalName", "externalName": "example.com"})),
            service("other", "far", &json!({"clusterIP": "10.96.9.9", "ports": [{"port": 1}]})),
        ]
    }

    fn names(namespace: &str, links: bool) -> Vec<String> {
        variables(&cluster(), namespace, links)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn every_pod_is_told_of_the_api_server() {
        let expected = [
            "KUBERNETES_SERVICE_HOST=10.96.0.1",
            "KUBERNETES_SERVICE_PORT=443",
            "KUBERNETES_SERVICE_PORT_HTTPS=443",
            "KUBERNETES_PORT=tcp://10.96.0.1:443",
            "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
            "KUBERNETES_PORT_443_TCP_PROTO=tcp",
            "KUBERNETES_PORT_443_TCP_PORT=443",
            "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
        ];
        assert_eq!(names("app", false), expected);
        assert_eq!(names("empty", true), expected);
    }

    #[test]
    fn a_pod_with_links_is_told_of_the_services_of_its_namespace() {
        let told = names("app", true);
        for expected in [
            "MY_DB_SERVICE_HOST=10.96.7.7",
            "MY_DB_SERVICE_PORT=5432",
            "MY_DB_SERVICE_PORT_SQL_MAIN=5432",
            "MY_DB_SERVICE_PORT_NOTES=90",
            "MY_DB_PORT=tcp://10.96.7.7:5432",
            "MY_DB_PORT_90_UDP=udp://10.96.7.7:90",
        ] {
            assert!(told.iter().any(|t| t == expected), "{expected} is not in {told:#?}");
        }
        assert!(
            told.iter()
                .all(|t| !t.starts_with("HEADLESS") && !t.starts_with("EXTERNAL") && !t.starts_with("FAR"))
        );
    }

    #[test]
    fn a_service_of_the_name_kubernetes_in_the_pods_namespace_comes_first() {
        let mut services = cluster();
        services.push(service(
            "app",
            "kubernetes",
            &json!({"clusterIP": "10.96.3.3", "ports": [{"port": 1}]}),
        ));
        let host = |links| {
            variables(&services, "app", links).into_iter().find(|(n, _)| n == "KUBERNETES_SERVICE_HOST")
        };
        assert_eq!(host(true).expect("a host").1, "10.96.3.3");
        assert_eq!(host(false).expect("a host").1, "10.96.0.1");
    }

    #[test]
    fn an_address_of_version_six_stands_in_brackets() {
        let services = [service("a", "s", &json!({"clusterIP": "fd00::1", "ports": [{"port": 80}]}))];
        let told = variables(&services, "a", true);
        assert!(told.contains(&("S_PORT".into(), "tcp://[fd00::1]:80".into())), "{told:?}");
    }
}
