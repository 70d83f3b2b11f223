//! Looking: what became of the certificate that cert-manager was asked for.

use kube::api::Api;
use kube::core::DynamicObject;

use super::build::certificates;
use super::names;
use super::object::Object;
use super::observed::CertificateState;
use super::validate::ValidatedCluster;
use crate::runtime::context::Context;

/// Its state, and the object itself. Asked for each time: a watch of a kind that is not there would fail for ever.
///
/// # Errors
/// The API server could not be asked.
pub async fn certificate(
    context: &Context,
    cluster: &ValidatedCluster,
) -> kube::Result<(CertificateState, Option<Object>)> {
    let name = names::certificate(&cluster.name);
    let client = context.client.clone();
    let api = Api::<DynamicObject>::namespaced_with(client, &cluster.namespace, &certificates());
    match api.get(&name).await {
        Ok(found) => {
            let state = state(&found);
            Ok((state, Some(Object::Certificate(Box::new(found)))))
        }
        // One that is missing is named in the answer; of a kind that is not known, nothing is.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let named = status.details.is_some_and(|details| details.name == name);
            let state = match named {
                true => CertificateState::Missing,
                false => CertificateState::NoCertManager,
            };
            Ok((state, None))
        }
        Err(err) => Err(err),
    }
}

/// One that was issued once stays so, whatever its renewal is waiting for: its Secret is there.
fn state(found: &DynamicObject) -> CertificateState {
    let status = &found.data["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions
        .clone()
        .find(|condition| condition["type"] == "Ready");
    let is_ready = ready.is_some_and(|condition| condition["status"] == "True");
    let until = status["notAfter"].as_str().unwrap_or_default();
    if is_ready || !until.is_empty() {
        return CertificateState::Issued {
            until: until.to_owned(),
        };
    }
    let why = ready.and_then(|condition| condition["message"].as_str());
    CertificateState::Waiting {
        why: why
            .unwrap_or("cert-manager has said nothing yet")
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn state_of(status: Value) -> CertificateState {
        let found = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "a"}, "status": status});
        state(&serde_json::from_value(found).unwrap())
    }

    #[test]
    fn a_certificate_is_there_once_it_was_issued() {
        let ready =
            |status, message| json!([{"type": "Ready", "status": status, "message": message}]);
        let waits = |why: &str| CertificateState::Waiting {
            why: why.to_owned(),
        };
        assert_eq!(
            state_of(Value::Null),
            waits("cert-manager has said nothing yet")
        );
        let refused = ready("False", "the issuer refuses");
        assert_eq!(
            state_of(json!({"conditions": refused})),
            waits("the issuer refuses")
        );
        let until = CertificateState::Issued {
            until: "2027-01-01T00:00:00Z".to_owned(),
        };
        let renewal =
            json!({"conditions": ready("False", "renewing"), "notAfter": "2027-01-01T00:00:00Z"});
        assert_eq!(state_of(renewal), until);
    }
}
