//! kubectl and helm, as a person would use them.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Time between two looks while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub struct Kubectl {
    namespace: String,
}

impl Kubectl {
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
        }
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs kubectl; what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        succeeded("kubectl", arguments, &self.output(arguments)?)
    }

    /// Runs kubectl, which must refuse; what it said.
    pub fn refused(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        let output = self.fed(arguments, manifest)?;
        if output.status.success() {
            bail!("kubectl {arguments:?} was not refused:\n{manifest}");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let arguments = ["apply", "-f", "-"];
        succeeded("kubectl", &arguments, &self.fed(&arguments, manifest)?)
    }

    /// A resource, or a list of them, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[arguments, &["-o", "json"]].concat())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until what is looked for is found. `look` says what is lacking by `Err`.
    pub fn until<T>(
        &self,
        what: &str,
        seconds: u64,
        mut look: impl FnMut(&Self) -> Result<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            match look(self) {
                Ok(found) => {
                    println!("   {what}: after {:.1} s", begun.elapsed().as_secs_f64());
                    return Ok(found);
                }
                Err(error) if begun.elapsed() > Duration::from_secs(seconds) => {
                    return Err(error.context(format!("after {seconds} s still not: {what}")));
                }
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("kubectl");
        command.arg("-n").arg(&self.namespace).args(arguments);
        command.output().context("cannot run kubectl")
    }

    fn fed(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new("kubectl")
            .arg("-n")
            .arg(&self.namespace)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            std::io::Write::write_all(&mut stdin, input.as_bytes())?;
        }
        Ok(child.wait_with_output()?)
    }

    /// After a failure: everything that could explain it.
    pub fn tell_everything(&self) {
        let show = |title: &str, arguments: &[&str]| {
            println!("---- {title}");
            match self.output(arguments) {
                Ok(output) => {
                    print!("{}", String::from_utf8_lossy(&output.stdout));
                    print!("{}", String::from_utf8_lossy(&output.stderr));
                }
                Err(error) => println!("{error:#}"),
            }
        };
        show("nodes", &["get", "nodes", "-o", "wide"]);
        show(
            "everything",
            &["get", "nsqclusters,nsqtopics,all,pvc", "-o", "wide"],
        );
        show("clusters", &["describe", "nsqclusters,nsqtopics"]);
        show("events", &["get", "events", "--sort-by=.lastTimestamp"]);
        let operator = [
            "logs",
            "-n",
            crate::scenarios::OPERATOR_NAMESPACE,
            "-l",
            "app.kubernetes.io/name=nsq-operator",
            "--tail=60",
        ];
        show("operator", &operator);
        for pod in self
            .pods("app.kubernetes.io/managed-by=nsq-operator")
            .unwrap_or_default()
        {
            show(&format!("log of {pod}"), &["logs", &pod, "--tail=30"]);
        }
    }

    /// Names of the pods with this label.
    pub fn pods(&self, selector: &str) -> Result<Vec<String>> {
        let pods = self.json(&["get", "pods", "-l", selector])?;
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        let names = items
            .iter()
            .filter_map(|pod| pod["metadata"]["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Uids of the pods with this label, by name.
    pub fn uids(&self, selector: &str) -> Result<BTreeMap<String, String>> {
        let pods = self.pods(selector)?.into_iter();
        pods.map(|pod| Ok((pod.clone(), self.uid(&pod)?))).collect()
    }

    /// How many of the pods with this label are ready.
    pub fn ready_pods(&self, selector: &str) -> Result<usize> {
        let pods = self.json(&["get", "pods", "-l", selector])?;
        let ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        let pods = pods["items"].as_array().into_iter().flatten();
        Ok(pods.filter(ready).count())
    }

    /// Waits until nothing of these kinds has this label any more.
    pub fn until_gone(&self, of: &str, kinds: &str, selector: &str, seconds: u64) -> Result<()> {
        let what = format!("nothing is left of {of}");
        self.until(&what, seconds, |kubectl| {
            let left = kubectl.run(&["get", kinds, "-l", selector, "-o", "name"])?;
            let left = left.trim();
            ensure!(left.is_empty(), "there are {left}");
            Ok(())
        })
    }

    /// Changes what the manifest of the cluster `demo` says: a part of its spec, as JSON.
    pub fn change(&self, spec: &str) -> Result<()> {
        let patch = format!(r#"{{"spec":{spec}}}"#);
        self.run(&["patch", "nsqcluster", "demo", "--type=merge", "-p", &patch])?;
        Ok(())
    }

    /// A pod's uid: another pod of the same name has another.
    pub fn uid(&self, pod: &str) -> Result<String> {
        self.run(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"])
    }

    /// Whether a condition of a resource has this status; what it says instead if not.
    pub fn condition(&self, resource: &str, type_: &str, status: &str) -> Result<String> {
        let found = self.json(&["get", resource])?;
        let generation = &found["metadata"]["generation"];
        let conditions = found["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let condition = conditions
            .iter()
            .find(|condition| condition["type"] == type_)
            .with_context(|| format!("{resource} has no condition {type_}"))?;
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        if condition["status"] != status || condition["observedGeneration"] != *generation {
            bail!("{resource}: {condition}");
        }
        Ok(message)
    }
}

/// Runs helm; what it printed.
pub fn helm(arguments: &[&str]) -> Result<String> {
    let output = Command::new("helm").args(arguments).output();
    succeeded("helm", arguments, &output.context("cannot run helm")?)
}

fn succeeded(program: &str, arguments: &[&str], output: &Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8(output.stdout.clone())?)
}
