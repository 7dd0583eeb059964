//! What lies in `deploy/`, as far as it can be judged without an engine for containers, and without systemd running: that
//! its files name what is there, say what they promise, and are read by the programs that they are for.
//!
//! Where such a program is missing a test is skipped and says so; in CI (the variable `CI` is set) it fails.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Most of systemd's points of exposure, in tenths, that the unit may have: 0 is safe, 100 is not.
const EXPOSURE_MAX: u32 = 20;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// What a program made of its arguments; nothing, and a word of why, where it is not installed.
fn run(program: &str, package: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).output();
    if output.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        missing(program, package);
        return None;
    }
    Some(output.unwrap())
}

fn missing(what: &str, package: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing: install it (Debian: {package})");
    let _ = writeln!(std::io::stderr(), "skipped, {what} is missing (Debian: {package})");
}

/// The variables that `{ env = "NAME" }` names in a config.
fn variables(config: &str) -> BTreeSet<&str> {
    config.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn container_config_is_good_with_the_keys_that_compose_gives() {
    let (config, compose) = (text("deploy/docker/freshet.toml"), text("deploy/docker/compose.yml"));
    let variables = variables(&config);
    assert_eq!(variables.len(), 3, "{variables:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
    command.args(["check", "--config", "deploy/docker/freshet.toml"]).current_dir(root());
    for name in &variables {
        assert!(compose.contains(&format!("      {name}: ${{{name}:?")), "compose.yml sets no {name}");
        command.env(name, format!("{name}_0123456789"));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("good (2 accounts)"));
}

#[test]
fn compose_starts_what_the_config_names_and_gives_freshet_no_rights() {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let path = root().join("deploy/docker/compose.yml");
    let Some(output) = run("/usr/bin/python3", "python3", &["-c", script, path.to_str().unwrap()]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("No module named 'yaml'") {
        return missing("python3's yaml", "python3-yaml");
    }
    assert!(output.status.success(), "{said}");
    let compose: Value = serde_json::from_slice(&output.stdout).unwrap();
    let services = compose["services"].as_object().unwrap();
    let config = text("deploy/docker/freshet.toml");
    let origins: Vec<_> = config.lines().filter_map(|line| line.strip_prefix("origin = \"http://")).collect();
    assert_eq!(origins.len(), 2);
    for origin in origins {
        let (name, port) = origin.trim_end_matches('"').split_once(':').unwrap();
        let service = services.get(name).unwrap_or_else(|| panic!("no service {name}"));
        assert!(service["environment"].to_string().contains(port), "{name} listens on {port}? {service}");
        assert_eq!(service["networks"], serde_json::json!(["origins"]), "{name} is reached by Freshet alone");
        assert!(service.get("ports").is_none(), "{name} is reached by Freshet alone");
    }
    assert_eq!(compose["networks"]["origins"]["internal"], true);
    let freshet = &services["freshet"];
    assert_eq!(freshet["read_only"], true);
    assert_eq!(freshet["cap_drop"], serde_json::json!(["ALL"]));
    assert_eq!(freshet["security_opt"], serde_json::json!(["no-new-privileges:true"]));
    assert_eq!(freshet["ports"][1], "127.0.0.1:8081:8081", "the admin listener is this machine's alone");
    let volume = freshet["volumes"][1].as_str().unwrap();
    assert!(config.contains(&format!("path = \"{}/", volume.split_once(':').unwrap().1)), "{volume}");
    let dockerfile = freshet["build"]["dockerfile"].as_str().unwrap();
    assert!(root().join(dockerfile).exists());
}

/// Whether `.dockerignore` lets a path into the context. It has `*`, and names that are let in all the same.
fn is_in_context(path: &str) -> bool {
    let ignore = text(".dockerignore");
    let lets_in = |line: &str| path == line || path.starts_with(&format!("{line}/"));
    ignore.lines().filter_map(|line| line.strip_prefix('!')).any(lets_in)
}

#[test]
fn dockerfile_copies_what_is_there_and_ends_without_rights() {
    let dockerfile = text("deploy/docker/Dockerfile");
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.starts_with('#')).collect();
    let stages: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("FROM ")).collect();
    assert_eq!(stages.len(), 2, "{stages:?}");
    let mut copied = 0;
    for line in lines.iter().filter_map(|line| line.strip_prefix("COPY ")) {
        copied += 1;
        if let Some(rest) = line.strip_prefix("--from=") {
            let stage = rest.split(' ').next().unwrap();
            assert!(stages.iter().any(|from| from.ends_with(&format!(" AS {stage}"))), "no stage {stage}");
            continue;
        }
        let source = line.split(' ').next().unwrap();
        assert!(root().join(source).exists(), "{source} is not there");
        assert!(source == "." || is_in_context(source), ".dockerignore keeps {source} out");
    }
    assert_eq!(copied, 3);
    let last = &dockerfile[dockerfile.rfind("\nFROM ").unwrap()..];
    for line in ["USER 65532:65532", "STOPSIGNAL SIGTERM", "VOLUME /var/lib/freshet"] {
        assert!(last.contains(&format!("\n{line}\n")), "{line}");
    }
    // What the image runs is understood by the command line.
    let words: Vec<String> = lines
        .iter()
        .filter(|line| line.starts_with("HEALTHCHECK ") || line.starts_with("CMD "))
        .map(|line| serde_json::from_str::<Vec<String>>(&line[line.find('[').unwrap()..]).unwrap())
        .map(|words| words.into_iter().find(|word| !word.contains('/')).unwrap())
        .collect();
    assert_eq!(words, ["status", "serve"]);
    let manifest = text("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(
        dockerfile.contains(&format!("ARG RUST={}\n", version.trim_matches('"'))),
        "Cargo.toml has {version}"
    );
}

#[test]
fn context_of_the_image_is_a_whole_package() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        if is_in_context(entry.file_name().to_str().unwrap()) {
            std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What the sources take in of files outside of their folder.
    let mut taken = BTreeSet::new();
    includes(&root().join("src"), &mut taken);
    assert!(!taken.is_empty());
    for path in taken {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        assert!(is_in_context(name), ".dockerignore keeps {name} out");
    }
}

fn includes(folder: &Path, taken: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            includes(&path, taken);
        } else if let Ok(text) = fs::read_to_string(&path) {
            for rest in text.split("include_str!(\"").skip(1).chain(text.split("include_bytes!(\"").skip(1)) {
                let file = folder.join(rest.split('"').next().unwrap());
                taken.insert(fs::canonicalize(file).unwrap());
            }
        }
    }
}

/// The units, with the binary of these tests in the place of the installed one, in a folder of their own.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root().join("deploy/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let unit =
            fs::read_to_string(&path).unwrap().replace("/usr/bin/freshet", env!("CARGO_BIN_EXE_freshet"));
        fs::write(folder.path().join(path.file_name().unwrap()), unit).unwrap();
    }
    folder
}

#[test]
fn systemd_reads_the_units_without_a_complaint() {
    let folder = units();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(files.iter().map(|path| path.to_str().unwrap()));
    let Some(output) = run("systemd-analyze", "systemd", &arguments) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn each_port_that_the_process_knows_by_name_has_a_socket_unit() {
    let sockets = text("src/app/sockets.rs");
    let known = sockets.split("const NAMES: ").nth(1).and_then(|rest| rest.split(';').nth(1)).unwrap();
    let known: BTreeSet<&str> = known.split('"').skip(1).step_by(2).collect();
    let mut named = BTreeSet::new();
    for entry in fs::read_dir(root().join("deploy/systemd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let unit = text(&format!("deploy/systemd/{name}"));
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        if name.ends_with(".socket") {
            assert_eq!(value("Service=").as_deref(), Some("freshet.service"), "{name}");
            named.insert(value("FileDescriptorName=").unwrap());
            let is_packed =
                name == "freshet.socket" || text("Cargo.toml").contains(&format!("deploy/systemd/{name}"));
            assert!(is_packed, "the Debian package lacks {name}");
        }
    }
    assert_eq!(named.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

#[test]
fn unit_is_as_little_exposed_as_it_says() {
    let folder = units();
    let unit = folder.path().join("freshet.service");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=yes", "--no-pager", &threshold, unit.to_str().unwrap()];
    let Some(output) = run("systemd-analyze", "systemd", &arguments) else { return };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let level =
        said.split("exposure level for freshet.service: ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(output.status.success(), "{said}");
    let readme = text("deploy/README.md");
    assert!(
        readme.contains(&format!("{} of 10", level.unwrap())),
        "deploy/README.md tells another level than {level:?}"
    );
}

#[test]
fn debian_package_names_what_is_there() {
    let manifest = text("Cargo.toml");
    let assets = manifest.split("assets = [").nth(1).unwrap().split("\n]").next().unwrap();
    let build = text("deploy/debian/build");
    let mut named = 0;
    for source in assets.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next()) {
        named += 1;
        let made = source.strip_prefix("target/debian-made/");
        let is_there = match (made, source.split_once('*')) {
            (Some(_), _) | (_, Some(_)) => true,
            _ if source == "target/release/freshet" => true,
            _ => root().join(source).exists(),
        };
        assert!(is_there, "{source} is not there");
        if let Some(made) = made.filter(|made| !made.starts_with("man/") && !made.starts_with("freshet.")) {
            assert!(build.contains(&format!("$made/{made}")), "deploy/debian/build makes no {made}");
        }
    }
    assert!(named >= 7, "{named} assets");
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"');
    assert!(
        text("deploy/debian/changelog").starts_with(&format!("freshet ({version}-1)")),
        "another version"
    );
    let bash = run("bash", "bash", &["-n", root().join("deploy/debian/build").to_str().unwrap()]).unwrap();
    assert!(bash.status.success());
}
