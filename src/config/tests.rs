//! The config as a user meets it: the built-in text, and every rule's refusal.

use std::path::Path;
use std::time::Duration;

use super::*;

fn read(text: &str) -> Result<Config, Vec<String>> {
    let variable = |name: &str| (name == "FRESHET_TEST_KEY").then(|| "0123456789abcdef0123\n".to_owned());
    let sources = Sources { variable: &variable, folder: Path::new("/etc/freshet"), cores: 3 };
    parse(text, "test.toml", &sources).map_err(|error| match error {
        ConfigError::Invalid { problems, .. } => problems.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    })
}

const ACCOUNT: &str = r#"
[[accounts]]
id = "shop"
private_keys = [{ env = "FRESHET_TEST_KEY" }]
url_endpoints = ["https://Img.Example.com:443/shop/", "http://alias.test:8080"]
origin = { url = "https://[::1]:9443/base/", headers = { authorization = { env = "FRESHET_TEST_KEY" } } }
"#;

#[test]
fn built_in_text_says_the_defaults() {
    let stated = Config { stated: Stated::default(), ..read(DEFAULT_TEXT).unwrap() };
    let bare = r#"
        [[accounts]]
        id = "demo"
        private_keys = ["private_demo"]
        url_endpoints = ["http://127.0.0.1:8080/demo", "http://localhost:8080/demo"]
        purges_per_month = 1000
        origin = "demo"
        [[keys]]
        name = "operator"
        key = "operator_demo"
        scopes = ["operator"]
    "#;
    let bare = Config { stated: Stated::default(), ..read(bare).unwrap() };
    assert_eq!(format!("{stated:#?}").replace("Line", ""), format!("{bare:#?}").replace("Line", ""));
    assert_eq!(stated.proxy.threads, 3, "as many as cores");
    assert_eq!(stated.ledger.path.as_deref(), Some(Path::new("/etc/freshet/freshet.redb")));
    assert!(stated.warnings[0].contains("easily guessed"), "{:?}", stated.warnings);
}

#[test]
fn ok_secrets_come_from_the_environment_and_never_show() {
    let config = read(ACCOUNT).unwrap();
    let account = &config.accounts[0];
    assert!(account.private_keys[0].matches(&PrivateKey::from_secret("0123456789abcdef0123")));
    assert!(!account.private_keys[0].matches(&PrivateKey::from_secret("0123456789abcdef0124")));
    assert_eq!(account.url_endpoints[0].to_string(), "https://img.example.com/shop");
    let Origin::Servers(origins) = &account.origin else { panic!("{:?}", account.origin) };
    let origin = &origins[0];
    assert_eq!((origins.len(), &*origin.host, origin.port, &*origin.base), (1, "::1", 9443, "/base"));
    assert_eq!(
        (origin.host_field.to_str().unwrap(), &*origin.url()),
        ("[::1]:9443", "https://[::1]:9443/base")
    );
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "a secret is printed");
}

#[test]
fn ok_a_key_may_be_given_by_its_hash() {
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"; // sha256("secret")
    let text = ACCOUNT.replace("{ env = \"FRESHET_TEST_KEY\" }]", &format!("{{ sha256 = \"{hash}\" }}]"));
    assert!(read(&text).unwrap().accounts[0].private_keys[0].matches(&PrivateKey::from_secret("secret")));
}

#[test]
fn err_every_problem_is_reported_at_once_with_its_line_key_and_value() {
    let text = "\
[proxy]
listen = \"localhost\"
threads = -1
speed = 9
[cache]
max_bytes = \"12 apples\"
[log]
level = \"a=loud\"
[[accounts]]
id = \"a b\"
private_keys = [\"short\", 7]
url_endpoints = [\"ftp://x\", \"http://u@x/y\"]
origin = \"http://h/../x\"
";
    let problems = read(text).unwrap_err();
    #[rustfmt::skip]
    let expected = [
        "line 2: proxy.listen = \"localhost\": must be an address and a port",
        "line 3: proxy.threads = -1: must be a whole number from 0 to 1024",
        "line 4: proxy.speed = …: unknown key; known here: threads, listen, ",
        "line 6: cache.max_bytes = \"12 apples\": must be a size from 1048576 to ",
        "line 8: log.level = \"a=loud\": must be \"error\", ",
        "line 10: accounts[0].id = \"a b\": must be 1 to 64 letters",
        "line 11: accounts[0].private_keys = …: must be a string, { env",
        "line 12: accounts[0].url_endpoints = \"ftp://x\": must be a URL that begins with http",
        "line 12: accounts[0].url_endpoints = \"http://u@x/y\": a user name before the host",
        "line 13: accounts[0].origin = \"http://h/../x\": its path must have neither",
    ];
    for expected in expected {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn err_each_rule_between_values() {
    #[rustfmt::skip]
    let table = [
        ("",                                                             "at least one account is needed"),
        ("[proxy",                                                       "line 1: "),
        ("[admin]\nlisten = \"127.0.0.1:8080\"",                         "must differ from proxy.listen"),
        ("[proxy]\nlisten = \"0.0.0.0:80\"\n[[accounts]]\nid = \"a\"\nprivate_keys = [\"short\"]",
                                                                         "refused off loopback"),
        ("[[accounts]]",                                                 "url_endpoints = (none): is missing"),
        ("[[accounts]]\nprivate_keys = [{ env = \"NOT_SET\" }]",         "the environment has no variable NOT_SET"),
        ("[[accounts]]\nprivate_keys = [{ file = \"gone\" }]",           "the file /etc/freshet/gone can't be read"),
        ("[[accounts]]\norigin = { host = \"x\" }",                      "origin.url = (none): is missing"),
        ("[[accounts]]\norigin = { url = \"http://x\", headers = { host = \"y\" } }", "Freshet's to write"),
        ("[[accounts]]\norigin = \"http://x\"\norigins = [\"http://y\"]", "origins = …: stands beside origin"),
        ("[[accounts]]\norigins = \"http://x\"",                        "origins = …: must be an array"),
        ("[[accounts]]\norigins = []",                                  "origins = …: must hold 1 to 16"),
        ("[[accounts]]\norigins = [\"http://x\", \"demo\"]",            "origins[1] = \"demo\": stands alone"),
        ("[[accounts]]\norigins = [\"http://x\", 7]",                   "origins[1] = …: must be \"demo\", a URL"),
        ("[[accounts]]\norigins = [\"http://x:80\", { url = \"http://x/\" }]", "origins[1] = …: http://x:80 stands here twice"),
        ("[[accounts]]\norigins = [{ url = \"http://x\", roots = \"a\" }]", "origins[0].roots = \"a\": is for an origin"),
        ("[[accounts]]\norigin = { url = \"http://x\", server_name = \"a\" }", "origin.server_name = \"a\": is for an origin"),
        ("[[accounts]]\norigin = { url = \"https://x\", server_name = \"a b\" }", "server_name = \"a b\": must be a host name"),
        ("[[accounts]]\norigin = { url = \"https://x\", roots = 7 }",   "origin.roots = 7: must be a file's path"),
        ("[[accounts]]\norigin = { url = \"https://x\", roots = \"gone\" }", "roots = \"gone\": the file /etc/freshet/gone can't be read"),
        ("[fetch]\nbroken_time = \"11m\"",                              "must be a time from \"0s\" to \"10m\""),
        ("[[accounts]]\nurl_endpoints = [\"http://h/a\", \"http://h/a/b\"]", "lies inside http://h/a: aliases"),
        ("[[routes]]\nmatch = \"(\"",                                    "is no regular expression"),
        ("[[routes]]\nmethods = [\"CONNECT\"]",                          "never CONNECT or TRACE"),
        ("[[routes]]\naccount = \"nobody\"",                             "names no account"),
        ("[[routes]]\nhttp = \"2\"",                                    "must be \"image\" or \"rfc\""),
        ("[[routes]]\ngrace = \"soon\"",                                "must be a time from \"0s\" to \"365d\""),
        ("[[routes]]\nlifetimes = { minimum = \"2s\", maximum = \"1s\" }", "lifetimes.maximum = 1s: must not be less"),
        ("[[routes]]\nlifetimes = { least = \"2s\" }",                  "unknown key; known here: default, minimum"),
        ("[[routes]]\nrequest_directives = \"yes\"",                    "must be true or false"),
        ("[[routes]]\nignore_query = [\"u*m\"]",                        "must be a parameter's name"),
        ("[[routes]]\nignore_query = [\"*\"]",                          "must be a parameter's name"),
        ("[[routes]]\nignore_query = [\"a&b\"]",                        "must be a parameter's name"),
        ("[[routes]]\nignore_query = \"utm_*\"",                        "must be an array"),
        ("[[routes]]\nset_cookie = \"keep\"",                           "must be \"bypass\", \"strip\" or"),
        ("[[routes]]\ntargeted_fields = [\"a b\"]",                     "must be the name of a header field"),
        ("[[routes]]\nformats = [\"png\"]",                             "must be \"avif\", \"webp\" or"),
        ("[[routes]]\nhints = [7]",                                     "must hold strings"),
        ("[[routes]]\nhints = [\"rtt\"]",                               "must be \"dpr\", \"width\" or"),
        ("[[routes]]\nbrowser = \"max-age\"",                           "a Cache-Control for browsers"),
        ("[[routes]]\nbrowser = \"max-age=1s\"",                        "a Cache-Control for browsers"),
        ("[[routes]]\nbrowser = \"\"",                                  "a Cache-Control for browsers"),
        ("[log]\nlevel = \"warning\"",                                   "must be \"error\", \"warn\""),
        ("[log]\naccess = \"on\"",                                       "must be \"off\", \"json\", \"common\""),
        ("[trace]\nsample = 1",                                           "trace.endpoint = (none): is missing"),
        ("[trace]\nendpoint = \"https://c\"",                             "must be a URL of a collector, in clear"),
        ("[log]\naccess_sample = 1.5",                                    "must be a number from 0 to 1"),
        ("[log]\naccess_sample = \"half\"",                               "must be a number from 0 to 1"),
        ("[log]\naccess_path = \"gone/access\"",                          "a file in a folder that exists"),
        ("[[accounts]]\nprivate_keys = []",                              "private_keys = (none): is missing"),
        ("[[accounts]]\norigin = \"http://h/a b\"",                      "must have neither query"),
        ("[demo_origin]\nimages = \"nowhere\"",                          "there is none at /etc/freshet/nowhere"),
    ];
    for (text, expected) in table {
        let problems = read(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}\n{problems:#?}");
    }
    let twice = read(&format!("{ACCOUNT}{ACCOUNT}")).unwrap_err();
    for expected in ["another account has this id", "has this endpoint already", "has one of these keys"] {
        assert!(twice.iter().any(|problem| problem.contains(expected)), "{expected}\n{twice:#?}");
    }
    assert!(!twice.join("").contains("0123456789"), "a secret is printed: {twice:#?}");
}

/// The built-in text with the route that it shows as an example in force.
fn with_the_example_route() -> String {
    let (text, route) = DEFAULT_TEXT.split_once("# [[routes]]").unwrap();
    let route: Vec<_> = route.lines().map(|line| line.trim_start_matches("# ")).collect();
    format!("{text}[[routes]]{}", route.join("\n"))
}

#[test]
fn ok_every_key_of_a_route_reaches_its_value() {
    let config = read(&with_the_example_route()).unwrap();
    let route = &config.routes[0];
    assert!(
        route.matches("demo", "/uploads/a")
            && !route.matches("demo", "/a")
            && !route.matches("x", "/uploads/")
    );
    assert_eq!((route.http, route.methods.as_ref().map(Vec::len)), (HttpMode::Image, Some(3)));
    let times =
        [route.lifetimes.default, route.lifetimes.minimum, route.lifetimes.maximum, route.lifetimes.negative];
    assert_eq!(times.map(|time| time.unwrap().as_secs()), [3600, 10, 30 * 86_400, 5]);
    assert_eq!((route.grace, route.request_directives), (Some(Duration::from_secs(3600)), Some(true)));
    assert_eq!(route.set_cookie, Some(SetCookie::Bypass));
    let names = |names: &Option<Vec<http::HeaderName>>| {
        names.as_ref().unwrap().iter().map(|n| n.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&route.targeted_fields), ["cdn-cache-control"]);
    assert_eq!(names(&route.vary_forbidden), ["cookie", "user-agent", "authorization"]);
    assert_eq!(route.formats.as_deref(), Some(&[Format::Avif, Format::Webp][..]));
    assert_eq!(route.hints, [Hint::Dpr, Hint::Width, Hint::SaveData]);
    assert_eq!(route.browser, None);
    let told = read(&with_the_example_route().replace("\"origin\" ", "\"max-age=60, immutable\" ")).unwrap();
    assert_eq!(told.routes[0].browser.as_ref().unwrap(), "max-age=60, immutable");
}

#[test]
fn ok_parameters_are_named_whole_or_by_their_beginning() {
    let config = read(&with_the_example_route()).unwrap();
    let ignored = |parameter: &str| config.routes[0].ignore_query.iter().any(|name| name.names(parameter));
    for parameter in ["utm_source=x", "utm_", "utm_a", "fbclid", "fbclid=", "fbclid=a=b"] {
        assert!(ignored(parameter), "{parameter}");
    }
    for parameter in ["", "utm", "utm=x", "UTM_a=1", "xutm_a", "fbclid2", "fbcli=d", "=utm_a"] {
        assert!(!ignored(parameter), "{parameter}");
    }
}

#[test]
fn ok_times_reach_the_values() {
    let text = format!("[fetch]\nidle_timeout = \"250ms\"\n[proxy]\ndrain_timeout = \"0s\"\n{ACCOUNT}");
    let config = read(&text).unwrap();
    assert_eq!(config.fetch.idle_timeout, Duration::from_millis(250));
    assert_eq!(config.proxy.drain_timeout, Duration::ZERO);
}

/// An account with these origins, in a config that lies in `folder`.
fn read_origins(folder: &Path, origins: &str) -> Result<Vec<OriginServer>, Vec<String>> {
    let text = format!(
        "[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\nurl_endpoints = [\"http://h\"]\norigins = {origins}\n"
    );
    let sources = Sources { variable: &|_| None, folder, cores: 1 };
    match parse(&text, "test.toml", &sources) {
        Ok(config) => match &config.accounts[0].origin {
            Origin::Servers(servers) => Ok(servers.clone()),
            Origin::Demo => panic!("there are origins"),
        },
        Err(ConfigError::Invalid { problems, .. }) => Err(problems.iter().map(ToString::to_string).collect()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn ok_origins_keep_their_order_and_share_what_a_file_of_roots_has() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let pem = format!("# Ours\n{}{}{}", made.cert.pem(), made.signing_key.serialize_pem(), made.cert.pem());
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let list = r#"["http://a.test:9000/base/", { url = "https://b.test", roots = "ca.pem", host = "img.test" },
                   { url = "https://10.0.0.1", roots = "ca.pem", server_name = "b.test" }, "https://d.test"]"#;
    let origins = read_origins(folder.path(), list).unwrap();
    let urls: Vec<_> = origins.iter().map(OriginServer::url).collect();
    assert_eq!(
        urls,
        ["http://a.test:9000/base", "https://b.test:443", "https://10.0.0.1:443", "https://d.test:443"]
    );
    assert_eq!(origins[1].host_field, "img.test");
    let tls: Vec<_> = origins.iter().map(|origin| origin.tls.as_ref()).collect();
    let names: Vec<_> = tls.iter().flatten().map(|tls| tls.name.to_str().into_owned()).collect();
    assert_eq!(names, ["b.test", "b.test", "d.test"]);
    let roots: Vec<_> = tls.iter().flatten().map(|tls| tls.roots.as_ref()).collect();
    assert_eq!(roots[0].unwrap().certificates.len(), 2, "the key between them is passed over");
    assert!(std::sync::Arc::ptr_eq(roots[0].unwrap(), roots[1].unwrap()), "a file is read once");
    assert!(tls[0].is_none() && roots[2].is_none());
    assert_eq!(
        origins,
        read_origins(folder.path(), list).unwrap(),
        "what is said in the same words is equal"
    );
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
    assert_ne!(origins, read_origins(folder.path(), list).unwrap(), "a file that has changed is told");
}

#[test]
fn err_files_of_roots_that_can_not_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let pem = |tag: &str, body: &str| format!("-----BEGIN {tag}-----\n{body}\n-----END {tag}-----\n");
    #[rustfmt::skip]
    let table = [
        // (what stands in the file, the rule)
        (String::new(),                            "holds no certificate"),
        ("certificate".into(),                     "holds no certificate"),
        (pem("PRIVATE KEY", "AAAA"),               "holds no certificate"),
        (pem("CERTIFICATE", "AAAA"),               "has a certificate that can't be used, number 1: "),
        (pem("CERTIFICATE", "?"),                  "is no good PEM: "),
        ("-----BEGIN CERTIFICATE-----\nAAAA".into(), "is no good PEM: "),
        ("a".repeat(5 << 20),                      "is longer than 4194304 bytes"),
    ];
    for (text, rule) in table {
        std::fs::write(folder.path().join("ca.pem"), &text).unwrap();
        let list =
            r#"[{ url = "https://a.test", roots = "ca.pem" }, { url = "https://b.test", roots = "ca.pem" }]"#;
        let problems = read_origins(folder.path(), list).unwrap_err();
        assert_eq!(problems.len(), 2, "each place is told: {problems:#?}");
        let begins = format!(
            "line 5: accounts[0].origins[0].roots = \"ca.pem\": the file {}",
            folder.path().display()
        );
        assert!(problems[0].starts_with(&begins) && problems[0].contains(rule), "{rule}\n{problems:#?}");
    }
}

#[test]
fn err_a_secret_in_the_wrong_place_is_not_shown() {
    for text in [
        "[[accounts]]\nprivate_key = [\"SECRET\"]",
        "[[accounts]]\nprivate_keys = \"SECRET\"",
        "[[accounts]]\norigin = { url = \"http://h\", header = { authorization = \"SECRET\" } }",
        "[[accounts]]\norigin = { url = \"http://h\", headers = [\"authorization: SECRET\"] }",
        "[[accounts]]\norigin = \"http://user:SECRET@h\"",
        "[[accounts]]\norigins = [\"http://user:SECRET@h\"]",
        "[[accounts]]\norigin = [{ url = \"http://h\", headers = { authorization = \"SECRET\" } }]",
        "[[accounts]]\norigins = [\"http://h\", { url = \"http://h\", headers = { authorization = \"SECRET\" } }]",
        "accounts = { private_keys = [\"SECRET\"] }",
    ] {
        let problems = read(text).unwrap_err();
        assert!(!problems.is_empty() && !problems.join("").contains("SECRET"), "{text}\n{problems:#?}");
    }
}

const KEYS: &str = r#"
[[keys]]
name = "cms"
key = "cms_0123456789abcdef"
account = "shop"
scopes = ["purge"]
urls = ["https://img.example.com/shop/photos/", "http://alias.test:8080/b%20c"]
[[keys]]
name = "on call"
key = { env = "FRESHET_TEST_KEY" }
scopes = ["operator"]
"#;

#[test]
fn ok_a_key_has_a_name_an_account_scopes_and_urls() {
    let config = read(&format!(
        "{}{KEYS}",
        ACCOUNT.replacen("{ env = \"FRESHET_TEST_KEY\" }", "\"private_0123456789\"", 1)
    ));
    let [cms, on_call] = &config.unwrap().keys[..] else { panic!("not two keys") };
    assert_eq!((&*cms.grant.name, cms.grant.account.as_deref()), ("cms", Some("shop")));
    assert_eq!(cms.grant.scopes.words(), ["purge"]);
    assert_eq!(cms.grant.urls.as_ref().map(Vec::len), Some(2));
    assert!(cms.key.matches(&PrivateKey::from_secret("cms_0123456789abcdef")));
    assert_eq!((on_call.grant.account.as_deref(), on_call.grant.urls.as_deref()), (None, None));
    assert_eq!(on_call.grant.scopes.words(), ["read", "purge", "operator"], "operator implies the others");
    assert!(on_call.key.matches(&PrivateKey::from_secret("0123456789abcdef0123")));
}

#[test]
fn err_each_rule_for_keys() {
    let with = |lines: &str| read(&format!("{ACCOUNT}[[keys]]\n{lines}"));
    #[rustfmt::skip]
    let table = [
        ("",                                                              "keys[0].key = (none): is missing"),
        ("",                                                              "keys[0].name = (none): must be 1 to 64 bytes"),
        ("name = \" a\"",                                                 "keys[0].name = \" a\": must be 1 to 64 bytes"),
        ("name = \"a\\n\"",                                               "keys[0].name = \"a\\n\": must be 1 to 64 bytes"),
        ("name = \"a\"",                                                  "keys[0].scopes = (none): must name at least one"),
        ("name = \"a\"\nscopes = []",                                     "keys[0].scopes = []: must name at least one"),
        ("name = \"a\"\nscopes = [\"write\"]",                            "keys[0].scopes = \"write\": must be \"read\""),
        ("name = \"a\"\nscopes = [\"read\"]",                             "keys[0].account = (none): is missing"),
        ("name = \"a\"\nscopes = [\"read\"]\naccount = \"nobody\"",       "keys[0].account = \"nobody\": names no account"),
        ("name = \"a\"\nscopes = [\"operator\"]\naccount = \"shop\"",     "keys[0].account = \"shop\": must be left out"),
        ("name = \"a\"\nscopes = [\"operator\"]\nurls = []",              "keys[0].urls = []: must be left out"),
        ("name = \"a\"\nscopes = [\"purge\"]\naccount = \"shop\"\nurls = []", "keys[0].urls = []: must hold 1 to 32"),
        ("key = \"a:b\"",                                                 "keys[0].key = …: a private key must not be empty nor"),
        ("key = { sha256 = \"12\" }",                                     "keys[0].key = …: sha256 must be 64 hex digits"),
        ("key = { env = \"NOT_SET\" }",                                   "the environment has no variable NOT_SET"),
        ("key = { env = \"FRESHET_TEST_KEY\" }",                          "an account, or another entry, has this key"),
        ("secret = \"s\"",                                                "keys[0].secret = …: unknown key"),
    ];
    for (lines, expected) in table {
        let problems = with(lines).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}\n{problems:#?}");
    }
    let reachable =
        read(&format!("[admin]\nlisten = \"0.0.0.0:81\"\n{ACCOUNT}[[keys]]\nkey = \"short\"")).unwrap_err();
    assert!(
        reachable.iter().any(|problem| problem.contains("keys[0].key = …: a private key shorter")),
        "{reachable:#?}"
    );
    let twice = read(&format!("{ACCOUNT}{KEYS}{KEYS}")).unwrap_err();
    for expected in
        ["keys[2].name = cms: another key has this name", "keys[2].key = …: an account, or another entry"]
    {
        assert!(twice.iter().any(|problem| problem.contains(expected)), "{expected}\n{twice:#?}");
    }
}

#[test]
fn a_key_is_bound_to_folders_of_its_account_alone() {
    #[rustfmt::skip]
    let table = [
        // url                                          is taken
        ("https://img.example.com/shop/photos/",        true),
        ("http://img.example.com/shop/photos",          true),
        ("https://IMG.example.com:443/shop",            true),
        ("http://alias.test:8080",                      true),
        ("http://alias.test:8080/a/b%20c/",             true),
        ("http://alias.test/a/",                        false),
        ("https://img.example.com/shopping/",           false),
        ("https://img.example.com/",                    false),
        ("https://other.test/shop/",                    false),
        ("ftp://img.example.com/shop/",                 false),
        ("img.example.com/shop/",                       false),
        ("https://u@img.example.com/shop/",             false),
        ("https://img.example.com/shop/a*",             false),
        ("https://img.example.com/shop/a?b",            false),
        ("https://img.example.com/shop/a#b",            false),
        ("https://img.example.com/shop/../a",           false),
        ("https://img.example.com/shop/%2e%2E/a",       false),
        ("https://img.example.com/shop/a%2",            false),
        ("https://img.example.com/shop/%zz",            false),
        ("https://img.example.com/shop/%00",            false),
        ("https://img.example.com/shop/a\\b",           false),
    ];
    let accounts = read(ACCOUNT).unwrap().accounts;
    for (url, is_taken) in table {
        let urls = Some(vec![url.to_owned()]);
        let grant = Grant::new("a".into(), Some("shop".into()), Scopes::of(&[Scope::Purge]), urls, &accounts);
        let expected = if is_taken { None } else { Some(GrantError::Url(url.to_owned())) };
        assert_eq!(grant.err(), expected, "{url}");
    }
}

/// A certificate for a name and its key, in files of these names.
fn make(folder: &Path, name: &str, expires: Option<i32>) {
    let mut params = rcgen::CertificateParams::new(vec!["img.test".to_owned()]).unwrap();
    if let Some(year) = expires {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(year, 1, 1));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn err_certificates_that_are_wrong_are_told_by_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make(folder.path(), "good", None);
    make(folder.path(), "other", None);
    std::fs::write(path("empty.pem"), "").unwrap();
    std::fs::write(path("broken.pem"), "-----BEGIN CERTIFICATE-----\nAA").unwrap();
    std::fs::write(path("no.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    std::fs::write(
        path("secret.key"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    std::fs::write(path("no.key"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    #[rustfmt::skip]
    let table = [
        // (certificate, key, what is wrong)
        ("good.pem",    "good.key",    ""),
        ("none.pem",    "good.key",    "none.pem can't be read: No such file"),
        ("empty.pem",   "good.key",    "empty.pem has no certificate"),
        ("good.key",    "good.key",    "good.key has no certificate"),
        ("broken.pem",  "good.key",    "broken.pem is broken: it is no PEM"),
        ("no.pem",      "good.key",    "the first certificate in the file"),
        ("good.pem",    "good.pem",    "good.pem has no private key"),
        ("good.pem",    "secret.key",  "secret.key has no private key, or an encrypted one"),
        ("good.pem",    "no.key",      "no.key can't be used"),
        ("good.pem",    "other.key",   "other.key is not that of the first certificate in the file"),
    ];
    for (certificate, key, wrong) in table {
        let entry = format!("{{ certificate = {:?}, key = {:?} }}", path(certificate), path(key));
        for text in [format!("[tls]\ncertificates = [{entry}]\n"), format!("[admin]\ntls = {entry}\n")] {
            match read(&format!("{text}{ACCOUNT}")) {
                Ok(config) => assert_eq!((wrong, config.warnings.len()), ("", 0), "{text}"),
                Err(problems) => {
                    assert_eq!(problems.len(), 1, "{problems:?}");
                    assert!(!wrong.is_empty() && problems[0].contains(wrong), "{text}: {problems:?}");
                    assert!(problems[0].starts_with("line 2: "), "{problems:?}");
                }
            }
        }
    }
    make(folder.path(), "old", Some(2021));
    let entry = format!("{{ certificate = {:?}, key = {:?} }}", path("old.pem"), path("old.key"));
    let config = read(&format!("[tls]\ncertificates = [{entry}]\n{ACCOUNT}")).unwrap();
    assert!(config.warnings[0].contains("old.pem has expired at 2021-01-01"), "{:?}", config.warnings);
}

#[test]
fn err_tls_that_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "good", None);
    let path = |name: &str| folder.path().join(name);
    let good =
        format!("certificates = [{{ certificate = {:?}, key = {:?} }}]", path("good.pem"), path("good.key"));
    #[rustfmt::skip]
    let table = [
        // (section, what is wrong)
        (String::new(),                                            "tls.certificates = (none): is missing"),
        ("certificates = []".into(),                               "tls.certificates = (none): is missing"),
        ("certificates = [\"cert.pem\"]".into(),                   "must be a table"),
        ("certificates = [{ key = \"a\" }]".into(),                "tls.certificates.certificate = (none): is missing"),
        ("certificates = [{ certificate = \"a\" }]".into(),        "tls.certificates.key = (none): is missing"),
        ("certificates = [{ certificate = \"a\", key = \"b\", c = 1 }]".into(), "unknown key"),
        (format!("{good}\nredirect = \"yes\""),                    "must be true or false"),
        (format!("{good}\nredirect = 0"),                          "from 1 to 65535"),
        (format!("{good}\nlisten = \"127.0.0.1:8081\""),           "must differ from proxy.listen and admin.listen"),
        (format!("{good}\nlisten = \"127.0.0.1:8080\""),           "must differ from proxy.listen and admin.listen"),
    ];
    for (section, wrong) in table {
        let problems = read(&format!("[tls]\n{section}\n{ACCOUNT}")).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(wrong)), "{section}: {problems:?}");
    }
    for (redirect, expected) in [
        ("", Redirect::Off),
        ("redirect = true", Redirect::ToListener),
        ("redirect = 443", Redirect::ToPort(443)),
    ] {
        let tls = read(&format!("[tls]\n{good}\n{redirect}\n{ACCOUNT}")).unwrap().tls.unwrap();
        assert_eq!((tls.redirect, tls.listen.port(), tls.certificates.len()), (expected, 8443, 1));
    }
    // A key that is easily guessed is fine on loopback alone.
    let weak = ACCOUNT.replace("{ env = \"FRESHET_TEST_KEY\" }]\nurl", "\"short\"]\nurl");
    assert!(read(&format!("[tls]\n{good}\n{weak}")).is_ok());
    let problems = read(&format!("[tls]\n{good}\nlisten = \"0.0.0.0:8443\"\n{weak}")).unwrap_err();
    assert!(problems[0].contains("refused off loopback"), "{problems:?}");
}

#[test]
fn each_part_of_a_large_store_has_room_for_several_of_the_largest_bodies() {
    const MIB: u64 = 1 << 20;
    for (max_mib, object_mib, parts) in [
        (1, 32, 1),
        (511, 32, 1),
        (512, 32, 2),
        (3_000, 32, 8),
        (3_000, 1, 8),
        (3_000, 64, 4),
        (3_000, 1_024, 1),
        (16_384, 1_024, 2),
        (1 << 26, 32, 1024),
    ] {
        let cache = Cache::new(max_mib * MIB, object_mib * MIB, None);
        assert_eq!(cache.parts, parts, "{max_mib} MiB, bodies up to {object_mib}");
        assert!(cache.object_max_bytes <= cache.part_bytes());
    }
}
