//! `cargo bench -p benches --bench servers [-- --save] [-- --rounds N] [-- NAME]`: servers of Debian with their own load generators, inside
//! and natively in turn, and under User-Mode Linux, gVisor and proot where they are installed.
//!
//! A load is three shell lines, one that becomes the server, one that tells whether it is up, and one that is the client and prints operations a second.
//! Server and client are on the same side, or the client is on the host.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use benches::{
    chart,
    options::{self, Options},
    page,
    report::{self, Row, Target},
    sides::{self, Peer, Side, in_small_environment, run_to_end},
};
use tests::{
    background::free_port,
    guests::{self, Build},
    host, kernel, paths,
    scratch::Scratch,
    usage,
};

/// How long a load may take, the server's start included.
const LIMIT: Duration = Duration::from_secs(90);

/// Where the client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    /// With the server.
    Beside,
    /// On the host, whatever side the server is on; the port is published.
    OnHost,
    /// The same, where guests are in the host's network.
    OnHostsNetwork,
}

/// A server and what asks it.
struct Load {
    name: &'static str,
    /// The rows that its client prints, by the end of the name, and the highest ratio of the times inside and natively.
    rows: &'static [(&'static str, f64)],
    client_is: Client,
    /// A shell line that becomes the server. It has `$PORT`.
    server: &'static str,
    /// A shell line that succeeds when the server is up.
    is_up: &'static str,
    /// A shell line that prints `ROW\tOPERATIONS A SECOND` for each row. It has `$MANY`, how many operations to do, and `$SECONDS_EACH`.
    client: &'static str,
}

const REDIS: &str =
    "exec redis-server --port $PORT --bind 127.0.0.1 --save '' --appendonly no >/dev/null";
const REDIS_IS_UP: &str = "redis-cli -p $PORT ping 2>/dev/null | grep -q PONG";
const REDIS_CLIENT: &str = r#"for deep in 1 16; do
    redis-benchmark -p $PORT -t set,get -n $((MANY * (deep + 3) / 4)) -c 50 -P $deep --csv | tr -d '"' |
        awk -F, -v deep=$deep '$1 == "SET" || $1 == "GET" { print $1 " x " deep "\t" $2 }'
done"#;
const NGINX: &str = "sed s/PORT/$PORT/ nginx.template >nginx.conf; exec nginx -p $PWD/ -c nginx.conf \
    -e error.log -g 'daemon off; user root; pid nginx.pid;' 2>/dev/null";
const NGINX_IS_UP: &str = "curl -s -o /dev/null http://127.0.0.1:$PORT/1k";
const NGINX_CLIENT: &str = r#"wrk -t2 -c64 -d${SECONDS_EACH}s http://127.0.0.1:$PORT/1k | awk '/^Requests.sec/ { print "1 KiB\t" $2 }'"#;
const POSTGRES: &str = "exec setpriv --reuid 65534 --regid 65534 --clear-groups \
    /usr/lib/postgresql/15/bin/postgres -D data -k '' -h 127.0.0.1 -p $PORT >/dev/null 2>&1";
const POSTGRES_IS_UP: &str = "/usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1 -p $PORT";
/// The first run fetches the tables: natively they are in the host's cache from the start.
const POSTGRES_CLIENT: &str = r#"run() { /usr/lib/postgresql/15/bin/pgbench -h 127.0.0.1 -p $PORT -U postgres -n -S -c 8 -j 2 -T $1 postgres 2>/dev/null; }
    run 5 >/dev/null; run $SECONDS_EACH | awk '/^tps/ { print "-S\t" $3 }'"#;

const LOADS: [Load; 7] = [
    Load {
        name: "redis",
        rows: &[("SET x 1", 1.0), ("GET x 1", 1.0), ("SET x 16", 1.0), ("GET x 16", 1.0)],
        client_is: Client::Beside,
        server: REDIS,
        is_up: REDIS_IS_UP,
        client: REDIS_CLIENT,
    },
    Load {
        name: "redis, client on the host",
        rows: &[("SET x 1", 2.0), ("GET x 1", 2.0), ("SET x 16", 2.0), ("GET x 16", 2.0)],
        client_is: Client::OnHost,
        server: REDIS,
        is_up: REDIS_IS_UP,
        client: REDIS_CLIENT,
    },
    Load {
        name: "redis, --net host",
        rows: &[("SET x 1", 2.0), ("GET x 1", 2.0), ("SET x 16", 2.0), ("GET x 16", 2.0)],
        client_is: Client::OnHostsNetwork,
        server: REDIS,
        is_up: REDIS_IS_UP,
        client: REDIS_CLIENT,
    },
    Load {
        name: "nginx",
        rows: &[("1 KiB", 1.25)],
        client_is: Client::Beside,
        server: NGINX,
        is_up: NGINX_IS_UP,
        client: NGINX_CLIENT,
    },
    Load {
        name: "nginx, client on the host",
        rows: &[("1 KiB", 2.0)],
        client_is: Client::OnHost,
        server: NGINX,
        is_up: NGINX_IS_UP,
        client: NGINX_CLIENT,
    },
    Load {
        name: "pgbench",
        rows: &[("-S", 1.0 / 0.7)],
        client_is: Client::Beside,
        server: POSTGRES,
        is_up: POSTGRES_IS_UP,
        client: POSTGRES_CLIENT,
    },
    Load {
        name: "TCP",
        rows: &[("a MiB", 2.0)],
        client_is: Client::Beside,
        server: "exec ./bulk serve $PORT",
        is_up: "[ -e up.$PORT ]",
        client: r#"printf 'a MiB\t%s\n' $(./bulk send $PORT $((MANY / 50)))"#,
    },
];

impl Load {
    fn row_name(&self, row: &str) -> String {
        format!("{}, {row}", self.name)
    }

    /// How many operations a side is to do, and for how many seconds: the slow ones need not do as many.
    fn extent(side: Side) -> (u32, u32) {
        match side {
            Side::Native | Side::Inside => (100_000, 3),
            Side::Peer(_) => (8_000, 2),
        }
    }

    /// The figures of one run, in the order of the rows: nanoseconds an operation.
    fn figures(&self, side: Side, folder: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
        let ((many, seconds), port) = (Self::extent(side), free_port());
        let settings = format!("PORT={port} MANY={many} SECONDS_EACH={seconds}");
        let wait = format!(
            "tries=0; until {}; do tries=$((tries + 1)); [ $tries -lt 600 ] || exit 9; sleep 0.05; done",
            self.is_up
        );
        let shell = |script: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        let said = match self.client_is {
            Client::Beside => {
                let script = format!(
                    "{settings}; ({}) & server=$!; {wait}; {}; kill -INT $server; wait $server 2>/dev/null; exit 0",
                    self.server, self.client
                );
                let (outcome, _) = sides::run(side, &[], &shell(script), folder, LIMIT)?;
                if outcome.status != Some(0) {
                    let errors = String::from_utf8_lossy(&outcome.stderr);
                    return Err(format!("status {:?}: {}", outcome.status, errors.trim()).into());
                }
                outcome.stdout
            }
            Client::OnHost | Client::OnHostsNetwork => {
                let mut server = match side {
                    Side::Native => Command::new("/bin/sh"),
                    Side::Inside => {
                        let mut command = Command::new(kernel::binary()?);
                        match self.client_is {
                            Client::OnHostsNetwork => command.args(["--net", "host"]),
                            _ => command.arg("--publish").arg(format!("{port}:{port}")),
                        };
                        command.arg("/bin/sh");
                        command
                    }
                    Side::Peer(_) => return Err("not measured".into()),
                };
                server.args(["-c", &format!("{settings}; {}", self.server)]);
                in_small_environment(&mut server).current_dir(folder).stdin(Stdio::null());
                let server = Stopped(server.spawn()?);
                let client = shell(format!("{settings}; {wait}; {}", self.client));
                let outcome = sides::run(Side::Native, &[], &client, folder, LIMIT);
                drop(server);
                outcome?.0.stdout
            }
        };
        let said = String::from_utf8(said)?;
        let figure = |row: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix('\t'));
            let rate: f64 = line.ok_or_else(|| format!("no {row} in {said:?}"))?.trim().parse()?;
            Ok(1e9 / rate)
        };
        self.rows.iter().map(|(row, _)| figure(row)).collect()
    }
}

/// A server that is told to end when this goes, and waited for.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        // It may have ended by itself.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = self.0.wait();
    }
}

/// What the loads work on.
fn prepare() -> Result<Scratch, Box<dyn Error>> {
    kernel::binary()?;
    for (program, package) in [
        ("redis-server", "redis-server"),
        ("redis-benchmark", "redis-tools"),
        ("nginx", "nginx"),
        ("wrk", "wrk"),
        ("curl", "curl"),
        ("setpriv", "util-linux"),
    ] {
        host::locate(program, package)?;
    }
    let scratch = Scratch::empty()?;
    let folder = scratch.path();
    for name in ["bulk", "idle"] {
        let source = paths::workspace().join(format!("benches/guests/{name}.c"));
        fs::copy(guests::build_source(&source, Build::C, &["-O2"])?, folder.join(name))?;
    }
    // nginx's settings have no variables.
    let conf = "worker_processes 2; events { worker_connections 512; }\n\
        http { access_log off; sendfile on; keepalive_requests 1000000;\n\
        client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n\
        server { listen 127.0.0.1:PORT reuseport; root html; } }\n";
    fs::write(folder.join("nginx.template"), conf)?;
    fs::create_dir(folder.join("html"))?;
    fs::write(folder.join("html/1k"), "x".repeat(1024))?;
    let script = r#"chmod 755 . && mkdir -p data && chown 65534:65534 data && PB=/usr/lib/postgresql/15/bin && as() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; } &&
        as $PB/initdb -D data -A trust -U postgres -N >/dev/null && mkdir sockets && chown 65534 sockets &&
        as $PB/pg_ctl -D data -o "-k $PWD/sockets -h ''" -w -l /dev/null start >/dev/null &&
        $PB/pgbench -h $PWD/sockets -U postgres -i -s 10 -q postgres >/dev/null 2>&1 &&
        as $PB/pg_ctl -D data -m fast stop >/dev/null"#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(folder);
    run_to_end(in_small_environment(&mut command).current_dir(folder))?;
    Ok(scratch)
}

/// What connections cost on which nothing happens.
struct Idle {
    /// Bytes each.
    memory: f64,
    /// Of a CPU's time, while nothing happens.
    busy: f64,
}

/// How many there are.
const CONNECTIONS: u32 = 10_000;
/// How long they are watched doing nothing.
const WATCHED: Duration = Duration::from_secs(3);

impl Idle {
    fn measure(side: Side, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let guest = folder.join("idle");
        let mut command = match side {
            Side::Native => Command::new(guest),
            Side::Inside => {
                let mut command = Command::new(kernel::binary()?);
                command.arg(guest);
                command
            }
            Side::Peer(_) => return Err("not measured".into()),
        };
        command.arg(CONNECTIONS.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = in_small_environment(&mut command).spawn()?;
        let mut input = child.stdin.take().ok_or("no pipe")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let mut expect = |word: &str| match lines.next() {
            Some(Ok(line)) if line == word => Ok(()),
            other => Err(format!("{other:?} in place of {word:?}")),
        };
        expect("ready")?;
        let memory = || {
            // What the host's kernel keeps for its sockets belongs to nobody.
            usage::memory(child.id()) + if side == Side::Native { usage::slab() } else { 0.0 }
        };
        let before = memory();
        input.write_all(b"go\n")?;
        expect("connected")?;
        let memory = (memory() - before) / f64::from(CONNECTIONS);
        thread::sleep(Duration::from_millis(500));
        let (start, used) = (Instant::now(), usage::cpu_time(child.id()));
        thread::sleep(WATCHED);
        let busy = (usage::cpu_time(child.id()) - used) / start.elapsed().as_secs_f64();
        drop(input);
        child.wait()?;
        Ok(Self { memory, busy })
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    eprintln!("preparing a database and files ...");
    let scratch = prepare()?;
    let folder = scratch.path();
    let loads: Vec<&Load> = LOADS.iter().filter(|load| options.wants(load.name)).collect();
    let row = |load: &Load, (name, target): &(&str, f64)| Row {
        name: load.row_name(name),
        target: Target::Ratio(*target),
        native: Vec::new(),
        inside: Vec::new(),
    };
    let peers = Peer::installed();
    let mut rows: Vec<Vec<Row>> = Vec::new();
    for load in &loads {
        rows.push(load.rows.iter().map(|spec| row(load, spec)).collect());
    }
    let mut others: Vec<Vec<Vec<Vec<f64>>>> =
        rows.iter().map(|rows| vec![vec![Vec::new(); peers.len()]; rows.len()]).collect();
    for round in 1..=options.rounds {
        for ((load, rows), others) in loads.iter().zip(&mut rows).zip(&mut others) {
            eprintln!("round {round} of {}, {} ...", options.rounds, load.name);
            for side in [Side::Native, Side::Inside] {
                match load.figures(side, folder) {
                    Ok(figures) => {
                        for (row, figure) in rows.iter_mut().zip(figures) {
                            let side = if side == Side::Native {
                                &mut row.native
                            } else {
                                &mut row.inside
                            };
                            side.push(figure);
                        }
                    }
                    Err(error) => eprintln!("{}, {side:?}: {error}", load.name),
                }
            }
            // They are far off, so that one round tells enough.
            let asked =
                peers.iter().enumerate().filter(|_| round == 1 && load.client_is == Client::Beside);
            for (at, &peer) in asked {
                eprintln!("    under {} ...", peer.name());
                match load.figures(Side::Peer(peer), folder) {
                    Ok(figures) => {
                        for (others, figure) in others.iter_mut().zip(figures) {
                            others[at].push(figure);
                        }
                    }
                    Err(error) => eprintln!("{}, {}: {error}", load.name, peer.name()),
                }
            }
        }
    }
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let others: Vec<Vec<Vec<f64>>> = others.into_iter().flatten().collect();
    print!("{}", report::table(&rows));
    let missed = rows.iter().filter(|row| !row.passes()).count();
    println!("{} of {} targets met, {} rounds", rows.len() - missed, rows.len(), options.rounds);
    let mut below = report::beside(&rows, &peers, &others);
    if options.wants("idle") {
        below.push_str(&idle_table(folder)?);
    }
    print!("{below}");
    let output = page::folder()?;
    fs::write(output.join("servers.csv"), report::csv(&rows))?;
    chart::write(&output.join("servers.svg"), &rows)?;
    println!("wrote {}", output.join("servers.{csv,svg}").display());
    if options.save {
        let how = format!(
            "{} rounds, native and inside in turn, medians of rounds. A figure is the time an operation takes, one over the throughput; \
             the client runs beside the server, or on the host: at a published port, or where guests have the host's network (`--net host`).",
            options.rounds
        );
        let body = format!("![ratios](servers.svg)\n\n{}\n{below}", report::markdown(&rows));
        page::save("servers", "Servers", &how, &body, &["servers.svg"])?;
    }
    Ok(())
}

/// What idle connections cost, in words and a table.
fn idle_table(folder: &Path) -> Result<String, Box<dyn Error>> {
    eprintln!("{CONNECTIONS} idle connections ...");
    let mut text = format!(
        "\n| {CONNECTIONS} idle TCP connections | memory each | CPU used |\n|---|---:|---:|\n"
    );
    for (side, name) in [(Side::Native, "native"), (Side::Inside, "inside")] {
        let Idle { memory, busy } = Idle::measure(side, folder)?;
        let _ = writeln!(text, "| {name} | {memory:.0} B | {:.1} % |", busy * 100.0);
    }
    Ok(text)
}

fn main() -> ExitCode {
    options::run(3, measure)
}
