"""What deploy/ promises, held against the real binary: manifests as kubectl renders them, and the Dockerfile."""
import json
import pathlib
import re
import shlex
import subprocess
import tempfile

from support import BASE, BUILD, ROOT, Server, run, unittest

TO_JSON = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"


def rendered():
    text = subprocess.run(["kubectl", "kustomize", "deploy/k8s"], cwd=ROOT, check=True, capture_output=True).stdout
    # Debian's Python, which has python3-yaml whatever else is in the PATH
    objects = json.loads(subprocess.run(["/usr/bin/python3", "-c", TO_JSON], input=text, check=True, capture_output=True).stdout)
    return {o["kind"]: o for o in objects}


def mebibytes(text):
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.objects = rendered()
        cls.pod = cls.objects["Deployment"]["spec"]["template"]["spec"]
        cls.container = cls.pod["containers"][0]
        cls.config = json.loads(cls.objects["ConfigMap"]["data"]["config.json"])
        cls.folder = tempfile.TemporaryDirectory()
        cls.file = pathlib.Path(cls.folder.name) / "config.json"
        cls.file.write_text(cls.objects["ConfigMap"]["data"]["config.json"])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_names_and_labels_meet(self):
        labels = self.objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
        for selector in (self.objects["Deployment"]["spec"]["selector"]["matchLabels"],
                         self.objects["Service"]["spec"]["selector"],
                         self.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
            self.assertEqual(selector, selector | {k: labels[k] for k in selector})
        self.assertEqual(self.objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"],
                         self.objects["Deployment"]["metadata"]["name"])
        mount, volume = self.container["volumeMounts"][0], self.pod["volumes"][0]
        self.assertEqual(mount["name"], volume["name"])
        self.assertEqual(volume["configMap"]["name"], self.objects["ConfigMap"]["metadata"]["name"])
        self.assertEqual(self.container["args"], ["--config=" + mount["mountPath"] + "/config.json"])
        ports = {p["name"]: p["containerPort"] for p in self.container["ports"]}
        self.assertEqual(ports, {"http": self.config["server"]["port"], "admin": self.config["server"]["admin_port"]})
        self.assertIn(self.objects["Service"]["spec"]["ports"][0]["targetPort"], ports)

    def test_restricted(self):
        self.assertTrue(self.pod["securityContext"]["runAsNonRoot"])
        self.assertEqual(self.pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual(self.container["securityContext"],
                         {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
        self.assertFalse(self.pod["enableServiceLinks"])

    def test_what_an_operator_relies_on(self):
        deployment = self.objects["Deployment"]["spec"]
        self.assertNotIn("replicas", deployment)  # else each apply undoes the autoscaler
        self.assertEqual(self.container["imagePullPolicy"], "IfNotPresent")
        self.assertRegex(self.container["image"], r":\d+\.\d+\.\d+$")
        self.assertEqual(self.objects["PodDisruptionBudget"]["spec"]["maxUnavailable"], 1)
        self.assertGreater(self.container["readinessProbe"]["failureThreshold"], 1)
        self.assertEqual((self.config["server"]["host"], self.config["server"]["admin_host"]), ("::", "::"))
        policy = self.objects["NetworkPolicy"]["spec"]
        self.assertEqual(policy["podSelector"]["matchLabels"], deployment["selector"]["matchLabels"])
        self.assertEqual(policy["egress"], [])
        open_ports = {p["port"] for rule in policy["ingress"] if "from" not in rule for p in rule["ports"]}
        self.assertEqual(open_ports, {"http"})

    def test_there_is_time_to_leave(self):
        drain = self.config["drain"]
        self.assertGreater(1000 * self.pod["terminationGracePeriodSeconds"], drain["delay_ms"] + drain["timeout_ms"])
        probe = self.container["readinessProbe"]
        seen_ms = 1000 * (probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"])
        self.assertGreater(drain["delay_ms"], seen_ms, "the pod stops serving before its endpoint is gone")

    def test_the_server_starts_with_it_and_answers_its_probes(self):
        checked = subprocess.run([BUILD / "minivlm-server", f"--config={self.file}", "--check-config"], cwd=ROOT,
                                 capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        memory = mebibytes(self.container["resources"]["limits"]["memory"])
        threads = self.container["resources"]["requests"]["cpu"]
        with Server(f"--config={self.file}", "--server.admin_port=0", f"--limits.memory_bytes={memory}MiB", "--cache.bytes=128MiB",
                    f"--engine.threads={threads}", model=BASE, ready=False) as s:
            s.wait_for_log("ready", seconds=60)
            self.assertFalse(s.log("memory is tight"))
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                at = self.container[probe]["httpGet"]
                self.assertEqual((at["port"], s.get(at["path"], admin=True).status), ("admin", 200), probe)
            metrics = self.objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
            self.assertEqual([m["type"] for m in metrics], ["Resource", "Pods"])  # the first needs no adapter
            metric = metrics[1]["pods"]["metric"]["name"]
            annotations = self.objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
            self.assertIn("\n" + metric + " ", s.get(annotations["prometheus.io/path"], admin=True).body.decode())


class Image(unittest.TestCase):
    """What scripts/container.sh cannot be run for in every test: it builds for minutes and needs root."""

    def test_dockerfile(self):
        text = (ROOT / "deploy" / "Dockerfile").read_text()
        last = text[text.rindex("\nFROM "):]
        self.assertRegex(text, r"\nARG BASE=debian:12-slim@sha256:[0-9a-f]{64}\n")
        self.assertEqual(set(re.findall(r"\nFROM (\S+)", text)), {"${BASE}"})
        self.assertRegex(last, r"\nUSER [1-9]\d*:[1-9]\d*\n")
        health = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", last)[1])
        entry = json.loads(re.search(r"ENTRYPOINT (\[.*\])", last)[1])
        self.assertEqual(health, entry + ["--healthcheck"])
        names = re.findall(r"(MINIVLM_\w+)=(\S+)", last)
        env = {**dict(names), "MINIVLM_MODEL_DIR": str(BASE)}
        done = subprocess.run([BUILD / "minivlm-server", "--check-config"], env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        for source in re.findall(r"\nCOPY (?!--from)(.*) \S+", text):
            for path in shlex.split(source):
                self.assertTrue((ROOT / path).exists(), path)

    def test_libraries_are_those_the_binary_needs(self):
        """Every library that the binary itself names comes from a package that the Dockerfile installs."""
        text = (ROOT / "deploy" / "Dockerfile").read_text()
        needed = subprocess.run(["objdump", "-p", BUILD / "minivlm-server"], check=True, capture_output=True, text=True).stdout
        prefixes = {"libjpeg": "libjpeg62-turbo", "libpng16": "libpng16-16", "libwebp": "libwebp7", "libopenblas": "libopenblas0",
                    "libnettle": "libnettle8", "libuv": "libuv1", "libmicrohttpd": "libmicrohttpd12",
                    "libjansson": "libjansson4", "libsqlite3": "libsqlite3-0", "libseccomp": "libseccomp2", "libgnutls": "libgnutls30",
                    "libgif": "libgif7", "libheif": "libheif1", "libtiff": "libtiff6", "libz": "zlib1g"}
        libraries = set(re.findall(r"NEEDED\s+(\w+)", needed)) - {"libc", "libm", "libgcc_s"}
        libraries = {name for name in libraries if not name.startswith("ld")}
        self.assertEqual(libraries - set(prefixes), set(), "a library without a package in this table")
        for name in libraries:
            self.assertIn(prefixes[name], text)


run(__name__)
