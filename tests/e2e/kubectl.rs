//! kubectl, as people type it.

use sampan_tests::Cluster;
use sampan_tests::tools::Kubectl;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: example.org/image:1, ports: [{containerPort: 80}]}
";

const CONFIG_MAP: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"key":"value"}}"#;

/// Runs `test` with each kubectl, in a namespace of its own.
fn with_each(test: impl Fn(&Kubectl, &str)) {
    let cluster = Cluster::start();
    for (i, kubectl) in Kubectl::all(&cluster).iter().enumerate() {
        let namespace = format!("n{i}");
        kubectl.run(&["create", "namespace", &namespace]);
        test(kubectl, &namespace);
    }
}

#[test]
fn version_names_a_server_that_it_understands() {
    with_each(|kubectl, _| {
        let text = kubectl.run(&["version"]);
        let server = text.lines().find(|line| line.starts_with("Server Version"));
        assert!(server.is_some_and(|line| line.contains("v1.36.")), "{text}");
    });
}

#[test]
fn objects_are_created_and_shown_in_every_form() {
    with_each(|kubectl, n| {
        kubectl.apply(&["-n", n, "create", "-f", "-"], CONFIG_MAP);
        kubectl.apply(&["-n", n, "create", "-f", "-"], DEPLOYMENT);
        let table = kubectl.run(&["-n", n, "get", "configmap"]);
        assert!(table.starts_with("NAME"), "{table}");
        assert!(table.contains("\na "), "{table}");
        let wide = kubectl.run(&["-n", n, "get", "deployments", "-o", "wide"]);
        assert!(wide.contains("SELECTOR") && wide.contains("app=web"), "{wide}");
        let rows: [(&[&str], &str); 6] = [
            (&["-o", "name"], "configmap/a"),
            (&["-o", "jsonpath={.data.key}"], "value"),
            (&["-o", "json"], "\"key\": \"value\""),
            (&["-o", "yaml"], "key: value"),
            (&["-o", "custom-columns=N:.metadata.name"], "a"),
            (&["-o", "go-template={{.data.key}}"], "value"),
        ];
        for (form, want) in rows {
            let text = kubectl.run(&[&["-n", n, "get", "configmap", "a"], form].concat());
            assert!(text.contains(want), "{form:?}: {text}");
        }
        let described = kubectl.run(&["-n", n, "describe", "deployment", "web"]);
        assert!(described.contains("example.org/image:1"), "{described}");
    });
}

/// Commands that make an object from their arguments send it in protobuf, and read it so to describe it.
#[test]
fn objects_are_made_from_arguments() {
    with_each(|kubectl, n| {
        let cluster_role = format!("reader-of-{n}");
        let priority = format!("high-in-{n}");
        let rows: [(&[&str], &str); 20] = [
            (&["create", "configmap", "c", "--from-literal=key=value"], "configmap/c created"),
            (&["create", "secret", "generic", "s", "--from-literal=key=value"], "secret/s created"),
            (
                &["create", "deployment", "web", "--image=example.org/web:1", "--replicas=2", "--port=80"],
                "deployment.apps/web created",
            ),
            (&["create", "job", "j", "--image=example.org/j:1", "--", "true"], "job.batch/j created"),
            (
                &["create", "cronjob", "cj", "--image=example.org/j:1", "--schedule=*/5 * * * *"],
                "cronjob.batch/cj created",
            ),
            (&["create", "service", "clusterip", "svc", "--tcp=80:8080"], "service/svc created"),
            (&["create", "quota", "q", "--hard=pods=10,requests.storage=1500Mi"], "resourcequota/q created"),
            (&["create", "serviceaccount", "default"], "serviceaccount/default created"),
            (
                &["create", "role", "r", "--verb=get", "--resource=pods"],
                "role.rbac.authorization.k8s.io/r created",
            ),
            (
                &["create", "rolebinding", "rb", "--role=r", "--user=u"],
                "rolebinding.rbac.authorization.k8s.io/rb created",
            ),
            (&["create", "clusterrole", &cluster_role, "--verb=get", "--resource=nodes"], "created"),
            (
                &["create", "ingress", "i", "--rule=a.test/p*=svc:80,tls=x"],
                "ingress.networking.k8s.io/i created",
            ),
            (&["create", "priorityclass", &priority, "--value=100"], "created"),
            (
                &["create", "poddisruptionbudget", "b", "--selector=app=web", "--min-available=50%"],
                "poddisruptionbudget.policy/b created",
            ),
            (&["run", "p", "--image=example.org/p:1", "--labels=x=y", "--env=A=b"], "pod/p created"),
            (&["expose", "deployment", "web", "--port=80", "--target-port=http"], "service/web exposed"),
            (&["scale", "deployment", "web", "--replicas=3"], "deployment.apps/web scaled"),
            (&["set", "image", "deployment/web", "web=example.org/web:2"], "image updated"),
            (&["autoscale", "deployment", "web", "--min=1", "--max=3"], "web autoscaled"),
            (&["annotate", "pod", "p", "note=x"], "pod/p annotate"),
        ];
        for (arguments, want) in rows {
            let text = kubectl.run(&[&["-n", n], arguments].concat());
            assert!(text.contains(want), "{arguments:?}: {text}");
        }
        let rows: [(&[&str], &str); 8] = [
            (&["deployment", "web", "-o", "jsonpath={.spec.replicas} {..image}"], "3 example.org/web:2"),
            (&["quota", "q", "-o", "jsonpath={.spec.hard.requests\\.storage}"], "1500Mi"),
            (&["pdb", "b", "-o", "jsonpath={.spec.minAvailable}"], "50%"),
            (&["service", "svc", "-o", "jsonpath={.spec.ports[0].targetPort}"], "8080"),
            (&["service", "web", "-o", "jsonpath={.spec.ports[0].targetPort}"], "http"),
            (&["secret", "s", "-o", "jsonpath={.data.key}"], "dmFsdWU="),
            (&["pod", "p", "-o", "jsonpath={.spec.containers[0].env[0].value}"], "b"),
            (&["priorityclass", &priority, "-o", "jsonpath={.value}"], "100"),
        ];
        for (arguments, want) in rows {
            assert_eq!(kubectl.run(&[&["-n", n, "get"], arguments].concat()), want, "{arguments:?}");
        }
        for (arguments, want) in [
            (["describe", "pod", "p"], "Image:      example.org/p:1"),
            (["describe", "ingress", "i"], "x terminates a.test"),
            (["describe", "secret", "s"], "key:  5 bytes"),
            (["describe", "quota", "q"], "pods              1     10"),
        ] {
            let text = kubectl.run(&[&["-n", n], &arguments[..]].concat());
            assert!(text.contains(want), "{arguments:?}: {text}");
        }
        let again = kubectl.fail(&["-n", n, "create", "configmap", "c"], "");
        assert!(again.contains("configmaps \"c\" already exists"), "{again}");
    });
}

#[test]
fn apply_on_the_client_and_on_the_server_change_what_changed() {
    with_each(|kubectl, n| {
        let created = kubectl.apply(&["-n", n, "apply", "-f", "-"], DEPLOYMENT);
        assert_eq!(created.trim(), "deployment.apps/web created");
        let same = kubectl.apply(&["-n", n, "apply", "-f", "-"], DEPLOYMENT);
        assert_eq!(same.trim(), "deployment.apps/web unchanged");
        let changed = DEPLOYMENT.replace("image:1", "image:2");
        let configured = kubectl.apply(&["-n", n, "apply", "-f", "-"], &changed);
        assert_eq!(configured.trim(), "deployment.apps/web configured");
        kubectl.run(&["-n", n, "delete", "deployment", "web"]);
        let applied = kubectl.apply(&["-n", n, "apply", "--server-side", "-f", "-"], DEPLOYMENT);
        assert_eq!(applied.trim(), "deployment.apps/web serverside-applied");
        let other = ["-n", n, "apply", "--server-side", "--field-manager=other", "-f", "-"];
        let conflict = kubectl.fail(&other, &changed);
        assert!(conflict.contains("Apply failed with 1 conflict"), "{conflict}");
        kubectl.apply(&[&other[..], &["--force-conflicts"]].concat(), &changed);
        let image = "jsonpath={.spec.template.spec.containers[0].image}";
        assert_eq!(kubectl.run(&["-n", n, "get", "deployment", "web", "-o", image]), "example.org/image:2");
    });
}

#[test]
fn a_difference_is_shown_before_it_is_applied() {
    with_each(|kubectl, n| {
        kubectl.apply(&["-n", n, "apply", "-f", "-"], DEPLOYMENT);
        let output =
            kubectl.run_with(&["-n", n, "diff", "-f", "-"], &DEPLOYMENT.replace("image:1", "image:2"));
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("+      - image: example.org/image:2"), "{text}");
    });
}

#[test]
fn objects_are_patched_labelled_annotated_scaled_and_replaced() {
    with_each(|kubectl, n| {
        kubectl.apply(&["-n", n, "create", "-f", "-"], DEPLOYMENT);
        kubectl.run(&["-n", n, "patch", "deployment", "web", "-p", r#"{"spec":{"paused":true}}"#]);
        kubectl.run(&[
            "-n",
            n,
            "patch",
            "deployment",
            "web",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/paused","value":false}]"#,
        ]);
        kubectl.run(&["-n", n, "label", "deployment", "web", "tier=front"]);
        kubectl.run(&["-n", n, "annotate", "deployment", "web", "note=x"]);
        kubectl.run(&["-n", n, "scale", "deployment", "web", "--replicas=5"]);
        kubectl.run(&["-n", n, "set", "image", "deployment/web", "main=example.org/image:3"]);
        let form = "jsonpath={.spec.replicas} {.metadata.labels.tier} {.metadata.annotations.note} {.spec.template.spec.containers[0].image}";
        let text = kubectl.run(&["-n", n, "get", "deployment", "web", "-o", form]);
        assert_eq!(text, "5 front x example.org/image:3");
        let json = kubectl.run(&["-n", n, "get", "deployment", "web", "-o", "json"]);
        kubectl.apply(&["-n", n, "replace", "-f", "-"], &json.replace("\"replicas\": 5", "\"replicas\": 4"));
        let stale = kubectl.fail(&["-n", n, "replace", "-f", "-"], &json);
        assert!(stale.contains("the object has been modified"), "{stale}");
        let selected = kubectl.run(&["-n", n, "get", "deployments", "-l", "tier=front", "-o", "name"]);
        assert_eq!(selected.trim(), "deployment.apps/web");
    });
}

#[test]
fn an_object_is_edited() {
    with_each(|kubectl, n| {
        kubectl.apply(&["-n", n, "create", "-f", "-"], CONFIG_MAP);
        let editor = [("KUBE_EDITOR", "sed -i s/value/changed/")];
        let edited = kubectl.run_in(&["-n", n, "edit", "configmap", "a"], "", &editor);
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
        let value = ["-n", n, "get", "configmap", "a", "-o", "jsonpath={.data.key}"];
        assert_eq!(kubectl.run(&value), "changed");
    });
}

#[test]
fn a_wait_ends_when_the_object_is_deleted() {
    with_each(|kubectl, n| {
        kubectl.apply(&["-n", n, "create", "-f", "-"], CONFIG_MAP);
        kubectl.run(&["-n", n, "delete", "configmap", "a", "--wait=false"]);
        kubectl.run(&["-n", n, "wait", "--for=delete", "configmap/a", "--timeout=20s"]);
        let gone = kubectl.fail(&["-n", n, "get", "configmap", "a"], "");
        assert!(gone.contains("Error from server (NotFound): configmaps \"a\" not found"), "{gone}");
    });
}

#[test]
fn what_the_server_has_can_be_listed_and_explained() {
    with_each(|kubectl, _| {
        let versions = kubectl.run(&["api-versions"]);
        for version in ["v1", "apps/v1", "rbac.authorization.k8s.io/v1", "resource.k8s.io/v1"] {
            assert!(versions.lines().any(|line| line == version), "{version}: {versions}");
        }
        let resources = kubectl.run(&["api-resources"]);
        for word in ["deployments", "customresourcedefinitions", "ipaddresses"] {
            assert!(resources.contains(word), "{word}: {resources}");
        }
        for (field, want) in [
            ("pod.spec.containers.resources", "ResourceRequirements"),
            ("deployment.spec.strategy.rollingUpdate.maxSurge", "IntOrString"),
        ] {
            let text = kubectl.run(&["explain", field]);
            assert!(text.contains(want) && text.contains("DESCRIPTION"), "{field}: {text}");
        }
        let text = kubectl.run(&["explain", "pod.spec.restartPolicy"]);
        // kubectl before 1.28 prints no list of its own, only that of the description.
        if !kubectl.run(&["version", "--client", "-o", "json"]).contains("\"v1.27.") {
            assert!(text.contains("ENUM:\n    Always\n    Never\n    OnFailure\n"), "{text}");
        }
        assert!(text.contains("Possible enum values:\n     - `\"Always\"`\n"), "{text}");
    });
}

#[test]
fn unknown_fields_are_refused_and_invalid_values_told_with_their_path() {
    with_each(|kubectl, n| {
        let unknown = DEPLOYMENT.replace("replicas: 2", "replica: 2");
        let refused = kubectl.fail(&["-n", n, "create", "-f", "-"], &unknown);
        assert!(refused.contains("unknown field \"spec.replica\""), "{refused}");
        let invalid = DEPLOYMENT.replace("name: main, image: example.org/image:1", "name: Main, image: i");
        let refused = kubectl.fail(&["-n", n, "create", "-f", "-"], &invalid);
        assert!(
            refused.contains("spec.template.spec.containers[0].name: Invalid value: \"Main\""),
            "{refused}"
        );
    });
}

#[test]
fn rollouts_events_and_permissions_can_be_asked_for() {
    with_each(|kubectl, n| {
        kubectl.apply(&["-n", n, "apply", "-f", "-"], DEPLOYMENT);
        let history = kubectl.run(&["-n", n, "rollout", "history", "deployment/web"]);
        assert!(history.contains("deployment.apps/web"), "{history}");
        let none = kubectl.run_with(&["-n", n, "events"], "");
        assert!(none.status.success(), "{}", String::from_utf8_lossy(&none.stderr));
    });
}

#[test]
fn roles_are_reconciled_and_permissions_listed() {
    const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NAMESPACE}
rules:
- {apiGroups: [''], resources: [pods], verbs: [get]}
";
    with_each(|kubectl, n| {
        // kubectl takes the namespace from the manifest only.
        let role = ROLE.replace("NAMESPACE", n);
        let first = kubectl.apply(&["auth", "reconcile", "-f", "-"], &role);
        assert!(first.contains("role.rbac.authorization.k8s.io/reader reconciled"), "{first}");
        kubectl.apply(&["auth", "reconcile", "-f", "-"], &role.replace("[get]", "[list]"));
        let verbs = kubectl.run(&["-n", n, "get", "role", "reader", "-o", "jsonpath={.rules[*].verbs[*]}"]);
        assert_eq!(verbs.trim(), "get list");
        let all = kubectl.run(&["-n", n, "auth", "can-i", "--list"]);
        assert!(all.lines().any(|line| line.starts_with("*.*") && line.ends_with("[*]")), "{all}");
    });
}

#[test]
fn tokens_are_made_and_names_told() {
    with_each(|kubectl, n| {
        kubectl.run(&["-n", n, "create", "serviceaccount", "robot"]);
        let token = kubectl.run(&["-n", n, "create", "token", "robot", "--duration", "15m"]);
        assert_eq!(token.trim().split('.').count(), 3, "{token}");
        // kubectl knows the first version of the review since 1.28.
        let me = kubectl.run_with(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"], "");
        if !me.status.success() {
            let text = String::from_utf8_lossy(&me.stderr);
            assert!(text.contains("APISelfSubjectReview feature gate"), "{text}");
            return;
        }
        assert_eq!(String::from_utf8_lossy(&me.stdout), "kubernetes-admin");
        let account = format!("system:serviceaccount:{n}:robot");
        let robot = kubectl.run(&["auth", "whoami", "--as", &account]);
        assert!(
            robot.contains(&account) && robot.contains(&format!("system:serviceaccounts:{n}")),
            "{robot}"
        );
    });
}
