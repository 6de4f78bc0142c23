//! Revocation lists, and what a running listener is told anew.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", any(feature = "aws-lc-rs", feature = "ring")))]

#[path = "support/pki.rs"]
mod pki;
mod support;

use mqttkit_ws_transport::tls::{
    ClientAuth, ClientTls, ReloadableTls, Revocation, ServerTls, TlsConfigError, TlsError, TlsVersion,
};
use mqttkit_ws_transport::{AcceptError, ConnectOptions, Scheme};
use pki::{Ca, Signed, TempDir, check_echo, dial, dial_with, start, tls_error};

const FAR: i32 = 4000;

/// What a server with this configuration says to a client with this certificate: `Ok`, or its error.
async fn verdict(tls: ServerTls, ca: &Ca, device: &Signed) -> Result<(), TlsError> {
    let mut server = start(Scheme::Wss, tls.build().unwrap()).await;
    let client = ca.client().identity_pem(device.cert.clone(), device.key.clone());
    match dial(&server, &client).await {
        Ok(mut link) => {
            check_echo(&mut link).await;
            Ok(())
        }
        Err(error) => {
            let refused = tls_error::<()>(Err(error));
            assert!(matches!(refused, TlsError::CertificateRefused { .. }), "{refused:?}");
            match server.refused().await {
                AcceptError::Tls(error) => Err(error),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_revoked_client_is_refused() {
    let ca = Ca::new();
    let (good, bad) = (ca.sign("good"), ca.sign("bad"));
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let tls = ca.server("localhost").client_ca_pem(ca.pem.clone(), auth);
        verdict(tls.clone(), &ca, &bad).await.unwrap();
        let tls = tls.client_crl_pem(ca.crl(&[&bad], FAR));
        verdict(tls.clone(), &ca, &good).await.unwrap();
        let error = verdict(tls, &ca, &bad).await.unwrap_err();
        assert!(matches!(error, TlsError::Revoked), "{error:?}");
    }
}

#[tokio::test]
async fn the_strictness_of_revocation_lists_matters() {
    let (ca, foreign) = (Ca::new(), Ca::new());
    let device = ca.sign("device");
    let tls = ca.server("localhost").client_ca_pem(ca.pem.clone(), ClientAuth::Required);

    // A list of another authority says nothing about this certificate.
    let uncovered = tls.clone().client_crl_pem(foreign.crl(&[], FAR));
    let error = verdict(uncovered.clone(), &ca, &device).await.unwrap_err();
    assert!(matches!(error, TlsError::RevocationUnknown), "{error:?}");
    let lenient = Revocation::new().allow_uncovered(true);
    verdict(uncovered.revocation(lenient), &ca, &device).await.unwrap();

    // A list of long ago.
    let outdated = tls.clone().client_crl_pem(ca.crl(&[], 2002));
    verdict(outdated.clone(), &ca, &device).await.unwrap();
    let strict = Revocation::new().refuse_outdated(true);
    let error = verdict(outdated.revocation(strict), &ca, &device).await.unwrap_err();
    assert!(matches!(error, TlsError::RevocationListOutdated), "{error:?}");

    // The list of the authority in between covers the device, but not that authority.
    let middle = ca.intermediate();
    let mut device = middle.sign("device");
    device.cert.push_str(&middle.pem);
    let partial = tls.client_crl_pem(middle.crl(&[], FAR));
    let error = verdict(partial.clone(), &ca, &device).await.unwrap_err();
    assert!(matches!(error, TlsError::RevocationUnknown), "{error:?}");
    verdict(partial.clone().revocation(Revocation::new().only_end_entity(true)), &ca, &device).await.unwrap();
    verdict(partial.client_crl_pem(ca.crl(&[], FAR)), &ca, &device).await.unwrap();
}

#[tokio::test]
async fn a_revoked_server_is_refused() {
    let ca = Ca::new();
    let (good, bad) = (ca.sign("localhost"), ca.sign("localhost"));
    let client = ca.client().crl_pem(ca.crl(&[&bad], FAR));
    let server = start(Scheme::Wss, good.server().build().unwrap()).await;
    check_echo(&mut dial(&server, &client).await.unwrap()).await;
    let server = start(Scheme::Wss, bad.server().build().unwrap()).await;
    dial(&server, &ca.client()).await.unwrap();
    let error = tls_error(dial(&server, &client).await);
    assert!(matches!(error, TlsError::Revoked), "{error:?}");

    let foreign = ca.client().crl_pem(Ca::new().crl(&[], FAR));
    let error = tls_error(dial(&server, &foreign).await);
    assert!(matches!(error, TlsError::RevocationUnknown), "{error:?}");
    dial(&server, &foreign.revocation(Revocation::new().allow_uncovered(true))).await.unwrap();
}

#[test]
fn mistakes_with_revocation_lists_are_named() {
    let ca = Ca::new();
    let tls = ca.server("localhost");
    let alone = tls.clone().client_crl_pem(ca.crl(&[], FAR));
    assert!(matches!(alone.build(), Err(TlsConfigError::CrlWithoutCa)));
    let tls = tls.client_ca_pem(ca.pem.clone(), ClientAuth::Required);
    let none = tls.clone().client_crl_pem(ca.pem.clone());
    assert!(matches!(none.build(), Err(TlsConfigError::NoCrl { .. })));
    let garbage = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    assert!(matches!(tls.client_crl_pem(garbage).build(), Err(TlsConfigError::BadCrl { .. })));
    assert!(matches!(ca.client().crl_pem(garbage).build(), Err(TlsConfigError::BadCrl { .. })));
    let missing = ca.client().crl_file("/nonexistent/crl.pem");
    assert!(matches!(missing.build(), Err(TlsConfigError::Read { .. })));
}

#[tokio::test]
async fn a_new_certificate_is_used_and_old_connections_live_on() {
    let (old, new) = (Ca::new(), Ca::new());
    let dir = TempDir::new();
    let write = |signed: &Signed| {
        dir.write("cert.pem", &signed.cert);
        dir.write("key.pem", &signed.key);
    };
    write(&old.sign("localhost"));
    for scheme in [Scheme::Tls, Scheme::Wss] {
        write(&old.sign("localhost"));
        let files = ServerTls::from_files(dir.0.join("cert.pem"), dir.0.join("key.pem"));
        let tls = ReloadableTls::new(files).unwrap();
        let server = start(scheme, &tls).await;
        let mut before = dial(&server, &old.client()).await.unwrap();
        check_echo(&mut before).await;

        // New files alone change nothing.
        write(&new.sign("localhost"));
        dial(&server, &old.client()).await.unwrap();
        tls.reload().unwrap();
        check_echo(&mut dial(&server, &new.client()).await.unwrap()).await;
        let error = tls_error(dial(&server, &old.client()).await);
        assert!(matches!(error, TlsError::UnknownIssuer), "{error:?}");
        check_echo(&mut before).await;

        // A bad file keeps what is.
        dir.write("cert.pem", "nonsense");
        assert!(matches!(tls.reload(), Err(TlsConfigError::NoCertificate { .. })));
        dir.write("cert.pem", &new.sign("localhost").cert);
        assert!(matches!(tls.reload(), Err(TlsConfigError::KeyMismatch)));
        std::fs::remove_file(dir.0.join("key.pem")).unwrap();
        assert!(matches!(tls.reload(), Err(TlsConfigError::Read { .. })));
        check_echo(&mut dial(&server, &new.client()).await.unwrap()).await;

        // Another source altogether; a bad one keeps the source too.
        tls.replace(old.server("localhost")).unwrap();
        assert!(tls.replace(ServerTls::from_pem("", "")).is_err());
        tls.reload().unwrap();
        check_echo(&mut dial(&server, &old.client()).await.unwrap()).await;
        check_echo(&mut before).await;
    }
}

/// A session that the server remembers would let a client in without looking at its certificate again.
#[tokio::test]
async fn a_client_that_was_revoked_cannot_resume_its_session() {
    let ca = Ca::new();
    let device = ca.sign("device");
    let base = ca.server("localhost").client_ca_pem(ca.pem.clone(), ClientAuth::Required);
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let base = base.clone().versions([version]);
        let tls = ReloadableTls::new(base.clone().client_crl_pem(ca.crl(&[], FAR))).unwrap();
        let mut server = start(Scheme::Wss, tls.clone()).await;
        let client = ca.client().identity_pem(device.cert.clone(), device.key.clone());
        // The clones of these options share their memory of sessions.
        let options = ConnectOptions::new().tls(client.build().unwrap());
        for resumed in [false, true] {
            check_echo(&mut dial_with(&server, &options).await.unwrap()).await;
            let tls = server.link().await.tls.unwrap();
            assert_eq!((tls.client_certificates.len(), tls.resumed), (1, resumed));
            server.ended().await.0.ok();
        }
        tls.replace(base.client_crl_pem(ca.crl(&[&device], FAR))).unwrap();
        let error = tls_error(dial_with(&server, &options).await);
        assert!(matches!(error, TlsError::CertificateRefused { alert: 44 }), "{error:?}");
        let seen = server.refused().await;
        assert!(matches!(seen, AcceptError::Tls(TlsError::Revoked)), "{seen:?}");
    }
}

#[test]
fn a_reloadable_configuration_shows_no_key() {
    let signed = Ca::new().sign("localhost");
    let tls = ReloadableTls::new(signed.server()).unwrap();
    let text = format!("{tls:?} {:?}", ClientTls::new().identity_pem(signed.cert, signed.key.clone()));
    assert!(!text.contains("PRIVATE") && !text.contains(&signed.key[40..60]), "{text}");
    assert_eq!(tls.current().alpn_protocols, Vec::<Vec<u8>>::new());
}
