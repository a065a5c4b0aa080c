//! TLS to the databases: who answers is proved, or nothing is said.

use std::path::{Path, PathBuf};

use pointsman::sandbox::SandboxOptions;
use pointsman::sandbox::postgres::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::support::{Book, Stage, options};

/// An authority of this test; gives the file with its certificate.
pub fn authority(folder: &Path, name: &str) -> (CertifiedIssuer<'static, KeyPair>, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = folder.join(format!("{name}.pem"));
    std::fs::write(&file, issuer.pem()).unwrap();
    (issuer, file)
}

/// A server's certificate for these names, signed by the authority.
pub fn server(folder: &Path, issuer: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> TlsFiles {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let files = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_is_refused_and_the_right_server_is_checked_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (right, right_file) = authority(folder.path(), "right");
    let (_, wrong_file) = authority(folder.path(), "wrong");
    let tls = Some(server(folder.path(), &right, &["localhost"]));
    let words = |ca: &Path| format!(", tls: {{ mode: verify-full, ca: \"{}\" }}", ca.display());
    let mut stage =
        Stage::new(SandboxOptions { tls, ..options() }, Book { postgres: words(&right_file), ..Book::default() }).await;
    let book = stage.book();
    let book = book.to_str().unwrap();

    // The certificate names localhost, and 127.0.0.1 was dialled.
    let (code, said) = stage.says(&["check", book]).await;
    assert_eq!(code, 1, "{said}");
    // Both are dialled at the same time; either may be told first.
    let named = said.contains("source") || said.contains("target");
    assert!(said.contains("certificate") && named, "{said}");

    for name in ["SOURCE_URL", "TARGET_URL"] {
        let url = stage.env[name].replace("127.0.0.1", "localhost");
        stage.env.insert(name.into(), url);
    }
    let (code, said) = stage.says(&["check", book]).await;
    assert_eq!(code, 0, "{said}");

    let text = std::fs::read_to_string(book).unwrap();
    std::fs::write(book, text.replace(right_file.to_str().unwrap(), wrong_file.to_str().unwrap())).unwrap();
    let (code, said) = stage.says(&["check", book]).await;
    assert_eq!(code, 1, "{said}");
    // Both are dialled at the same time; either may be told first.
    let named = said.contains("source") || said.contains("target");
    assert!(said.contains("certificate") && named, "{said}");

    // The pooler of the sandbox dials it so.
    for name in ["SOURCE_URL", "TARGET_URL"] {
        let url = stage.env[name].replace("localhost", "127.0.0.1");
        stage.env.insert(name.into(), url);
    }
    // `require` encrypts, without a look at the certificate; a whole cutover goes over it. The servers look at each
    // other's with a file of their own.
    let encrypted = text.replace(&words(&right_file), ", tls: { mode: require }");
    std::fs::write(book, between_servers(&encrypted)).unwrap();
    dial_each_other(&mut stage, &wrong_file);
    let (code, said) = stage.says(&["run", book, "--output", "json"]).await;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("certificate verify failed"), "{said}");
    let (code, said) = stage.says(&["rollback", "--output", "json"]).await;
    assert_eq!(code, 5, "{said}");
    dial_each_other(&mut stage, &right_file);
    let run = stage.run();
    stage.until_asked().await;
    let sessions = "SELECT bool_and(ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                    WHERE a.application_name LIKE 'pointsman%' AND a.client_addr IS NOT NULL";
    for server in [&stage.sandbox.source, &stage.sandbox.target] {
        let db = super::support::superuser(server).await;
        assert!(super::support::value::<bool>(&db, sessions).await, "a session, or a stream, is not encrypted");
    }
    stage.say(&["approve"]).await;
    run.expect(0).await;
}

/// The runbook with a `replication-url` of each database.
fn between_servers(book: &str) -> String {
    ["SOURCE", "TARGET"].into_iter().fold(book.to_owned(), |book, side| {
        let url = format!("url: \"${{env:{side}_URL}}\"");
        book.replace(&url, &format!("{url}, replication-url: \"${{env:{side}_BY_THE_OTHER}}\""))
    })
}

/// The servers verify each other's certificates by this authority, in a file that they can read.
fn dial_each_other(stage: &mut Stage, authority: &Path) {
    let file = stage.sandbox.folder().join("authority.pem");
    std::fs::copy(authority, &file).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for side in ["SOURCE", "TARGET"] {
        let url = stage.env[&format!("{side}_URL")].replace("127.0.0.1", "localhost");
        let url = format!("{url}?sslmode=verify-full&sslrootcert={}", file.display());
        stage.env.insert(format!("{side}_BY_THE_OTHER"), url);
    }
}
