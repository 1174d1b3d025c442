//! The tables of the corpus: `tests/programs/commands.tsv` (single commands) and `tests/programs/scripts/index.tsv` (shell
//! scripts), read into plain rows.

use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

use crate::{
    Result,
    compare::{Comparison, Stdout},
    guests::{self, Build},
    host, paths,
    run::Guest,
    words,
};

/// A command of `commands.tsv`.
#[derive(Clone, Debug)]
pub struct CommandRow {
    /// The test's name.
    pub name: String,
    /// The part of the project that it needs.
    pub part: u32,
    /// Debian packages that bring it, separated by commas.
    pub packages: String,
    /// Options of `libos` (`--…`) and of the harness: `bind`, `stderr`, `timeout=SECONDS`, `retry=TIMES`.
    pub options: Vec<String>,
    /// `NAME=VALUE` words.
    pub env: Vec<String>,
    /// A file of the inputs that is its standard input.
    pub stdin: Option<String>,
    /// `same`, `set` or `shape:REGEX`.
    pub check: String,
    /// The words of the command; see [`CommandRow::comparison`].
    pub argv: Vec<String>,
}

/// A script of `index.tsv`.
#[derive(Clone, Debug)]
pub struct ScriptRow {
    /// Its name; the script is `NAME.sh`.
    pub name: String,
    /// The part of the project that it needs, from `parts.tsv`.
    pub part: u32,
    /// Debian packages, separated by commas.
    pub packages: String,
    /// How it is judged.
    pub check: String,
    /// What the check compares with.
    pub expected: String,
}

fn rows(file: &str) -> Result<Vec<Vec<String>>> {
    let path = paths::sources().join("programs").join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| line.split('\t').map(String::from).collect()).collect())
}

/// All rows of `commands.tsv`.
pub fn commands() -> Result<Vec<CommandRow>> {
    rows("commands.tsv")?.into_iter().map(command).collect()
}

fn command(row: Vec<String>) -> Result<CommandRow> {
    let [name, part, packages, options, env, stdin, check, argv] = row.as_slice() else {
        return Err(format!("commands.tsv: eight columns, not {}: {row:?}", row.len()));
    };
    let part = part.parse().map_err(|_| format!("commands.tsv: {name}: no part {part}"))?;
    let list = |text: &str| if text == "-" { Vec::new() } else { words::split(text) };
    Ok(CommandRow {
        name: name.clone(),
        part,
        packages: packages.clone(),
        options: list(options),
        env: list(env),
        stdin: (stdin != "-").then(|| stdin.clone()),
        check: check.clone(),
        argv: words::split(argv),
    })
}

impl CommandRow {
    /// The comparison that the row asks for.
    ///
    /// A word `@BUILD:SOURCE` stands for a guest of `tests/guests` built that way, `@cc1` for gcc's compiler proper.
    pub fn comparison(&self) -> Result<Comparison> {
        let mut argv = Vec::new();
        for word in &self.argv {
            let guest = word.strip_prefix('@').and_then(|guest| guest.split_once(':'));
            argv.push(match guest {
                Some((how, source)) => {
                    guests::build(source, Build::from_name(how)?, &[])?.into_os_string()
                }
                None if word == "@cc1" => guests::cc1()?.into_os_string(),
                None if argv.is_empty() && !word.starts_with("./") => {
                    host::locate(word, &self.packages)?.into_os_string()
                }
                None => OsString::from(word),
            });
        }
        let mut guest = Guest { argv, ..Guest::default() };
        for pair in &self.env {
            let (name, value) = pair.split_once('=').ok_or(format!("no NAME=VALUE: {pair}"))?;
            guest.env.push((name.into(), value.into()));
        }
        if let Some(name) = &self.stdin {
            let path = paths::sources().join("programs/inputs").join(name);
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            guest.stdin = Some(bytes);
        }
        let mut comparison =
            Comparison { stdout: stdout_check(&self.check)?, ..Comparison::default() };
        for option in &self.options {
            match option.split_once('=') {
                Some(("timeout", seconds)) => {
                    let seconds = seconds.parse().map_err(|_| format!("no timeout: {option}"))?;
                    guest.timeout = Some(Duration::from_secs(seconds));
                }
                Some(("retry", times)) => {
                    comparison.retries =
                        times.parse().map_err(|_| format!("no count: {option}"))?;
                }
                _ if option == "bind" => comparison.bind = true,
                _ if option == "stderr" => comparison.stderr = true,
                _ => guest.options.push(option.into()),
            }
        }
        comparison.guest = guest;
        Ok(comparison)
    }
}

fn stdout_check(check: &str) -> Result<Stdout> {
    match check.split_once(':') {
        None if check == "same" => Ok(Stdout::Same),
        None if check == "set" => Ok(Stdout::SameSet),
        Some(("shape", pattern)) => Ok(Stdout::Shape(pattern.into())),
        _ => Err(format!("no such check: {check}")),
    }
}

/// All rows of `scripts/index.tsv`, with their parts of `parts.tsv`.
pub fn scripts() -> Result<Vec<ScriptRow>> {
    let parts = rows("parts.tsv")?;
    let mut scripts = Vec::new();
    for row in rows("scripts/index.tsv")? {
        let [name, _level, packages, check, expected] = row.as_slice() else {
            return Err(format!("index.tsv: five columns, not {}: {row:?}", row.len()));
        };
        let part = parts
            .iter()
            .find(|pair| pair.first() == Some(name))
            .and_then(|pair| pair.get(1)?.parse().ok())
            .ok_or(format!("parts.tsv says no part for {name}"))?;
        scripts.push(ScriptRow {
            name: name.clone(),
            part,
            packages: packages.clone(),
            check: check.clone(),
            expected: expected.clone(),
        });
    }
    Ok(scripts)
}

impl ScriptRow {
    /// Where the script is.
    pub fn path(&self) -> PathBuf {
        paths::sources().join("programs/scripts").join(format!("{}.sh", self.name))
    }

    /// Judges what a run of the script left, as the row's check says.
    pub fn judge(&self, stdout: &[u8], status: Option<i32>) -> Result<()> {
        let text = String::from_utf8_lossy(stdout);
        let right = if let Some(status_wanted) = self.check.strip_prefix("exit status ") {
            match status_wanted.strip_suffix("stdout equals expected") {
                Some(_) => status.is_some() && text == unescape(&self.expected),
                None => status == status_wanted.parse().ok(),
            }
        } else if self.check == "stdout matches regex" {
            let shape =
                regex::Regex::new(&unescape(&self.expected)).map_err(|error| error.to_string())?;
            shape.is_match(&text)
        } else {
            return Err(format!("no such check: {}", self.check));
        };
        if right {
            return Ok(());
        }
        Err(format!("status {status:?}, wanted: {}\n{}\ngot:\n{text}", self.check, self.expected))
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_is_well_formed() {
        for row in commands().unwrap() {
            stdout_check(&row.check).unwrap();
            assert!(!row.argv.is_empty(), "{}", row.name);
        }
        for row in scripts().unwrap() {
            assert!(row.path().is_file(), "{}", row.name);
        }
    }

    #[test]
    fn packages_txt_names_all_that_the_current_part_needs() {
        let text = fs::read_to_string(paths::sources().join("packages.txt")).unwrap();
        // The table of scripts has a remark there.
        let listed = |package: &str| {
            package.starts_with("rustc") || text.lines().any(|line| line == package)
        };
        let rows = commands().unwrap().into_iter().map(|row| (row.name, row.part, row.packages));
        let scripts = scripts().unwrap().into_iter().map(|row| (row.name, row.part, row.packages));
        for (name, part, packages) in rows.chain(scripts) {
            for package in packages.split(',').filter(|_| part <= crate::CURRENT_PART) {
                assert!(listed(package), "{name} needs {package}");
            }
        }
    }

    #[test]
    fn a_script_is_judged_by_its_check() {
        let row = |check: &str, expected: &str| ScriptRow {
            name: String::new(),
            part: 1,
            packages: String::new(),
            check: check.into(),
            expected: expected.into(),
        };
        row("exit status 1", "").judge(b"", Some(1)).unwrap();
        row("exit status 1", "").judge(b"", Some(0)).unwrap_err();
        let equals = row("exit status 0 or any; stdout equals expected", "a\\tb\\n");
        equals.judge(b"a\tb\n", Some(0)).unwrap();
        equals.judge(b"a b\n", Some(0)).unwrap_err();
        row("stdout matches regex", "^1\\\\n[1-9]").judge(b"1\n7", Some(0)).unwrap();
    }
}
