"""Remote commands and forwarded ports with the official Python client, against the pod `web`."""

from kubernetes import client, config
from kubernetes.stream import portforward, stream

config.load_kube_config()
api = client.CoreV1Api()

said = stream(
    api.connect_get_namespaced_pod_exec, "web", "default", command=["echo", "hello"],
    stdin=False, stdout=True, stderr=True, tty=False,
)
assert said == "hello\n", said

cat = stream(
    api.connect_get_namespaced_pod_exec, "web", "default", command=["cat"],
    stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
)
cat.write_stdin("line\n")
assert cat.readline_stdout(timeout=30) == "line"
cat.close()

failing = stream(
    api.connect_get_namespaced_pod_exec, "web", "default", command=["exit", "4"],
    stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False,
)
failing.run_forever(timeout=30)
assert failing.returncode == 4, failing.returncode

forwarded = portforward(api.connect_get_namespaced_pod_portforward, "web", "default", ports="80")
http = forwarded.socket(80)
http.setblocking(True)
http.sendall(b"hello")
assert http.recv(1024) == b"hello"
http.close()
assert forwarded.error(80) is None, forwarded.error(80)

assert api.read_namespaced_pod_log("web", "default", tail_lines=1) == "and I say two lines\n"
print("ok")
