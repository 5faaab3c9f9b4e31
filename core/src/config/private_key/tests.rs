//! Keys as openssl makes them, and what it makes of those that cannot be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::json;

use super::*;
use crate::crypto::signature::Algorithm;

/// A new folder, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("svctoken-keys-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    /// Runs `command` by a shell in the folder.
    fn run(&self, command: &str) {
        let output = Command::new("sh").args(["-euc", command]).current_dir(&self.0).output().expect("a shell");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    fn read(&self, name: &str) -> Result<PrivateKey> {
        read_file("private_key_file", &self.path(name))
    }

    fn key(&self, name: &str) -> SigningKey {
        self.read(name).unwrap_or_else(|error| panic!("{name}: {error}")).key
    }

    /// The public half as ring wants it: what the bit string of a SubjectPublicKeyInfo holds.
    fn public_half(&self, name: &str) -> Vec<u8> {
        self.run(&format!("openssl pkey -in {name} -pubout -outform DER -out public.der"));
        let der = fs::read(Path::new(&self.path("public.der"))).expect("written");
        let mut inside = Reader::new(&der).inside(der::SEQUENCE).expect("a sequence");
        inside.take(der::SEQUENCE).expect("an algorithm");
        inside.bytes_of_bits().expect("bits").to_vec()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("ours");
    }
}

#[test]
fn every_kind_of_key_signs_with_every_algorithm_of_its_own_and_no_other() {
    let folder = Folder::new("kinds");
    folder.run(
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.pem
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem
         openssl genpkey -algorithm ED25519 -out ed25519.pem",
    );
    type Verified<'a> = (Algorithm, &'a dyn VerificationAlgorithm);
    let all: [(&str, &[Verified<'_>]); 4] = [
        (
            "rsa.pem",
            &[
                (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
                (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
                (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
                (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
                (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
                (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
            ],
        ),
        ("p256.pem", &[(Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED)]),
        ("p384.pem", &[(Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED)]),
        ("ed25519.pem", &[(Algorithm::EdDsa, &signature::ED25519)]),
    ];
    for (name, algorithms) in all {
        let key = folder.key(name);
        let public = folder.public_half(name);
        assert_eq!(key.algorithms(), algorithms.iter().map(|(algorithm, _)| *algorithm).collect::<Vec<_>>());
        for (algorithm, verification) in algorithms {
            let signature = key.sign(*algorithm, b"a message").expect("its own algorithm");
            UnparsedPublicKey::new(*verification, &public).verify(b"a message", &signature).expect("a right signature");
        }
        for other in [Algorithm::Hs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256] {
            assert_eq!(key.sign(other, b"a message").is_some(), key.algorithms().contains(&other), "{name} {other:?}");
        }
        assert_eq!(format!("{key:?}"), "[private key]");
    }
}

#[test]
fn p14_a_key_is_the_same_in_every_form_and_another_key_is_another() {
    let folder = Folder::new("forms");
    folder.run(
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem
         openssl rsa -in rsa.pem -traditional -out rsa-1.pem
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem
         openssl ec -in ec.pem -out ec-1.pem
         (openssl ecparam -name prime256v1; cat ec-1.pem) > ec-2.pem
         (echo 'Bag Attributes'; echo; sed 's/$/\\r/' ec.pem) > ec-3.pem
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.pem
         openssl genpkey -algorithm ED25519 -out ed25519.pem",
    );
    for (same, forms) in [("rsa.pem", &["rsa-1.pem"][..]), ("ec.pem", &["ec-1.pem", "ec-2.pem", "ec-3.pem"])] {
        let bytes = folder.key(same).bytes().to_vec();
        for form in forms {
            assert_eq!(folder.key(form).bytes(), bytes, "{form}");
            let text = fs::read_to_string(folder.path(form)).expect("readable");
            assert_eq!(read_text("private_key", &text).expect("the same").key.bytes(), bytes, "{form} as a text");
        }
    }
    let all = ["rsa.pem", "ec.pem", "other.pem", "ed25519.pem"].map(|name| folder.key(name).bytes().to_vec());
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
}

/// The command that a message ends with.
fn command_of(error: &Error) -> &str {
    error.next_step().split_once(": ").map(|(_, command)| command).unwrap_or_else(|| panic!("{error} has no command"))
}

#[test]
fn p13_the_command_in_the_error_converts_what_can_be_converted() {
    let folder = Folder::new("it's");
    folder.run(
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem
         openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem
         openssl pkcs8 -topk8 -in ec.pem -passout pass:x -out 'encrypted key.pem'
         openssl rsa -in rsa.pem -traditional -aes128 -passout pass:x -out encrypted-rsa.pem
         openssl ec -in ec.pem -no_public -out no-point.pem
         openssl pkcs8 -topk8 -nocrypt -in no-point.pem -out no-point-8.pem
         openssl ec -in ec.pem -conv_form compressed -out compressed.pem
         openssl pkey -in rsa.pem -outform DER -out rsa.der
         openssl req -x509 -key ec.pem -subj /CN=x -days 1 -out certificate.pem
         openssl pkcs12 -export -inkey ec.pem -in certificate.pem -passout pass: -out ec.p12",
    );
    for (name, original, what) in [
        ("encrypted key.pem", "ec.pem", "passphrase"),
        ("encrypted-rsa.pem", "rsa.pem", "passphrase"),
        ("no-point.pem", "ec.pem", "no public point"),
        ("no-point-8.pem", "ec.pem", "no public point"),
        ("compressed.pem", "ec.pem", "no public point"),
        ("rsa.der", "rsa.pem", "DER"),
        ("ec.p12", "ec.pem", "PKCS #12"),
    ] {
        let error = folder.read(name).expect_err(name);
        assert!(error.what().contains("private_key_file") && error.what().contains(what), "{name}: {error}");
        // The passphrase, which openssl would ask for.
        let passphrase = match (what, name) {
            ("passphrase", _) => " -passin pass:x",
            (_, "ec.p12") => " -passin pass:",
            _ => "",
        };
        folder.run(&format!("rm -f key.pem; {}{passphrase}", command_of(&error)));
        assert_eq!(folder.key("key.pem").bytes(), folder.key(original).bytes(), "{name}");
    }
}

#[test]
fn p13_a_key_of_no_use_is_named_and_the_command_makes_one_of_use() {
    let folder = Folder::new("no-use");
    folder.run(
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out short.pem
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out secp256k1.pem
         openssl ec -in secp256k1.pem -out secp256k1-1.pem
         openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.pem
         openssl genpkey -algorithm X25519 -out x25519.pem
         openssl genpkey -algorithm ED448 -out ed448.pem
         openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.pem
         openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsa-parameters.pem
         openssl genpkey -paramfile dsa-parameters.pem -out dsa.pem",
    );
    for (name, what) in [
        ("short.pem", "1024 bits"),
        ("secp256k1.pem", "secp256k1"),
        ("secp256k1-1.pem", "secp256k1"),
        ("p521.pem", "P-521"),
        ("x25519.pem", "X25519"),
        ("ed448.pem", "Ed448"),
        ("pss.pem", "PSS"),
        ("dsa.pem", "DSA"),
    ] {
        let error = folder.read(name).expect_err(name);
        assert!(error.what().contains("private_key_file") && error.what().contains(what), "{name}: {error}");
        folder.run(&format!("rm -f key.pem; {}", command_of(&error)));
        folder.key("key.pem");
    }
}

/// The example key of RFC 8037 appendix A.1.
fn jwk() -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    })
}

#[test]
fn a_jwk_signs_as_rfc_8037_says_and_brings_its_name() {
    let mut text = jwk();
    text["kid"] = "the first".into();
    text["alg"] = "EdDSA".into();
    let PrivateKey { key, key_id, algorithm } = read_text("private_key", &text.to_string()).expect("a key");
    assert_eq!((key_id.as_deref(), algorithm.as_deref()), (Some("the first"), Some("EdDSA")));
    let signature = key.sign(Algorithm::EdDsa, b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
    assert_eq!(
        URL_SAFE_NO_PAD.encode(signature.expect("signed")),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[test]
fn a_secret_signs_as_rfc_7515_says() {
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .expect("base64");
    let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                   eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = Algorithm::Hs256.sign_with_secret(&secret, message.as_bytes()).expect("symmetric");
    assert_eq!(URL_SAFE_NO_PAD.encode(signature), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(Algorithm::Rs256.sign_with_secret(&secret, b""), None);
}

#[test]
fn p13_a_text_that_is_no_usable_key_says_what_it_is() {
    let changed = |name: &str, value: Value| {
        let mut jwk = jwk();
        jwk[name] = value;
        jwk.to_string()
    };
    let mut public = jwk();
    public.as_object_mut().expect("an object").shift_remove("d");
    let pem = |label: &str| format!("-----BEGIN {label}-----\nMC4CAQA=\n-----END {label}-----\n");
    for (text, what) in [
        (public.to_string(), "a public key"),
        (changed("d", "*".into()), "member d"),
        (changed("d", "AA".into()), "do not belong together"),
        (changed("crv", "Ed448".into()), "OKP on Ed448"),
        (changed("kty", "oct".into()), "symmetric"),
        (changed("kty", "RSA".into()), "member n"),
        (json!({"keys": [jwk()]}).to_string(), "JWKS"),
        ("{".into(), "no JWK"),
        (pem("PRIVATE KEY"), "not readable as a key"),
        (pem("RSA PRIVATE KEY"), "not readable as a key"),
        (pem("EC PRIVATE KEY"), "not readable as a key"),
        (pem("OPENSSH PRIVATE KEY"), "OpenSSH"),
        (pem("DSA PRIVATE KEY"), "DSA"),
        (pem("FOO PRIVATE KEY"), "FOO"),
        (pem("CERTIFICATE"), "no private key"),
        (pem("PUBLIC KEY"), "no private key"),
        ("-----BEGIN PRIVATE KEY-----".into(), "no private key"),
        ("hello".into(), "neither PEM nor a JWK"),
        (String::new(), "neither PEM nor a JWK"),
    ] {
        let error = read_text("private_key", &text).expect_err(what);
        assert!(error.what().starts_with("private_key ") && error.what().contains(what), "{error}");
        assert!(!error.to_string().contains("nWGxne") && !error.to_string().contains("MC4CAQA"), "{error}");
    }
}

#[test]
fn no_cut_or_changed_key_is_a_panic() {
    let folder = Folder::new("cut");
    folder.run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem; openssl pkcs8 -topk8 -nocrypt -in ec.pem -outform DER -out ec.der");
    let whole = fs::read(folder.path("ec.der")).expect("written");
    assert!(SigningKey::from_pkcs8(&whole).is_ok());
    for position in 0..whole.len() {
        assert!(SigningKey::from_pkcs8(&whole[..position]).is_err(), "cut at {position}");
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[position] ^= 1 << bit;
            for read in [SigningKey::from_pkcs8, SigningKey::from_pkcs1, SigningKey::from_sec1] {
                // Some bits mean nothing to us; all that counts is that each is answered.
                let _ = read(&changed);
            }
        }
    }
}
