//! Errors of libraries as one line that may be logged.
//!
//! Two sorts of them quote what they choked on: a kubeconfig, or a credential plugin with its arguments and its output.
//! Both hold secrets, so of these only the place is told.

use kube::client::AuthError;
use kube::config::KubeconfigError;
use std::error::Error;

/// Where a YAML error is. A macro because the type of the location belongs to a crate that is not ours to name.
macro_rules! place {
    ($location:expr) => {
        $location.map_or_else(String::new, |at| {
            format!(", line {}, column {}", at.line(), at.column())
        })
    };
}

/// An error with what caused it.
pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(said) = without_secrets(error) {
            // Whatever stands further out may have quoted it.
            return said;
        }
        let said = error.to_string();
        // Many errors repeat their cause in their own words.
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = error.source();
    }
    text
}

/// What to say instead of an error that could quote a secret, or that says the same twice; none for all others.
fn without_secrets(error: &(dyn Error + 'static)) -> Option<String> {
    let auth = match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Auth(auth)) => Some(auth),
        _ => error.downcast_ref::<AuthError>(),
    };
    match auth {
        Some(AuthError::AuthExecRun { out, .. }) => {
            return Some(format!(
                "the credential plugin of the kubeconfig failed with {}",
                out.status
            ));
        }
        Some(AuthError::AuthExecParse(error)) => {
            return Some(format!(
                "the answer of the credential plugin of the kubeconfig is not what it should be{}",
                place!(error.location())
            ));
        }
        _ => {}
    }
    match error.downcast_ref::<KubeconfigError>() {
        // Whoever tells it names the file.
        Some(KubeconfigError::ReadConfig(error, _)) => Some(error.to_string()),
        Some(KubeconfigError::Parse(error)) => Some(format!(
            "this is not the YAML of a kubeconfig{}",
            place!(error.location())
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::Kubeconfig;
    use std::io;

    #[test]
    fn causes_follow_and_are_not_repeated() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect")]
        struct Outer(#[source] io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect: {0}")]
        struct Repeating(#[source] io::Error);
        assert_eq!(
            error_text(&Outer(io::Error::other("refused"))),
            "cannot connect: refused"
        );
        assert_eq!(
            error_text(&Repeating(io::Error::other("refused"))),
            "cannot connect: refused"
        );
    }

    #[test]
    fn a_kubeconfig_is_not_quoted() {
        let error = Kubeconfig::from_yaml("users: [{name: u, user: {token: hush}]\nx: 1").unwrap_err();
        assert!(
            error.to_string().contains("hush"),
            "or this test is not needed any more: {error}"
        );
        let text = error_text(&error);
        assert!(
            text.starts_with("this is not the YAML of a kubeconfig, line 1, column "),
            "{text}"
        );
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn the_output_of_a_credential_plugin_is_not_quoted() {
        let out = std::process::Output {
            status: Default::default(),
            stdout: b"hush".to_vec(),
            stderr: Vec::new(),
        };
        let auth = AuthError::AuthExecRun {
            cmd: "login hush".to_owned(),
            out: Box::new(out),
        };
        let text = error_text(&kube::Error::Auth(auth));
        assert_eq!(
            text,
            "the credential plugin of the kubeconfig failed with exit status: 0"
        );
    }
}
