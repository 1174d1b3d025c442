//! What has happened in the network, as /proc/net/snmp tells it.
//!
//! The one idea: only what programs do is counted, connections and datagrams; there are no packets, so what is about those is 0.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Stack, tcp};

/// A number that only grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Default)]
pub(super) struct Counters {
    /// Calls of connect(2).
    pub(super) active_opens: Counter,
    /// Connections that a listener got.
    pub(super) passive_opens: Counter,
    /// Calls of connect(2) that nobody was there for.
    pub(super) attempts_failed: Counter,
    /// Ends of connections that were reset.
    pub(super) resets: Counter,
    /// Datagrams that somebody was there for.
    pub(super) datagrams: Counter,
    /// Datagrams that were sent to other machines.
    pub(super) datagrams_sent: Counter,
    /// Datagrams that nobody was there for.
    pub(super) no_ports: Counter,
    /// Datagrams that there was no room for.
    pub(super) overruns: Counter,
}

/// The longest and the shortest time until a segment is sent again, in ms, and that there is no most of connections.
const TIMES: &str = "1 200 120000 -1";

/// A group of the file: its name, its columns, its values.
fn group(text: &mut String, name: &str, columns: &[&str], value: impl Fn(&str) -> String) {
    let _ = write!(text, "{name}:");
    for column in columns {
        let _ = write!(text, " {column}");
    }
    let _ = write!(text, "\n{name}:");
    for column in columns {
        let _ = write!(text, " {}", value(column));
    }
    text.push('\n');
}

const IP: &[&str] = &[
    "Forwarding",
    "DefaultTTL",
    "InReceives",
    "InHdrErrors",
    "InAddrErrors",
    "ForwDatagrams",
    "InUnknownProtos",
    "InDiscards",
    "InDelivers",
    "OutRequests",
    "OutDiscards",
    "OutNoRoutes",
    "ReasmTimeout",
    "ReasmReqds",
    "ReasmOKs",
    "ReasmFails",
    "FragOKs",
    "FragFails",
    "FragCreates",
    "OutTransmits",
];

const ICMP: &[&str] = &[
    "InMsgs",
    "InErrors",
    "InCsumErrors",
    "InDestUnreachs",
    "InTimeExcds",
    "InParmProbs",
    "InSrcQuenchs",
    "InRedirects",
    "InEchos",
    "InEchoReps",
    "InTimestamps",
    "InTimestampReps",
    "InAddrMasks",
    "InAddrMaskReps",
    "OutMsgs",
    "OutErrors",
    "OutRateLimitGlobal",
    "OutRateLimitHost",
    "OutDestUnreachs",
    "OutTimeExcds",
    "OutParmProbs",
    "OutSrcQuenchs",
    "OutRedirects",
    "OutEchos",
    "OutEchoReps",
    "OutTimestamps",
    "OutTimestampReps",
    "OutAddrMasks",
    "OutAddrMaskReps",
];

const TCP: &[&str] = &[
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "CurrEstab",
    "InSegs",
    "OutSegs",
    "RetransSegs",
    "InErrs",
    "OutRsts",
    "InCsumErrors",
];

const UDP: &[&str] = &[
    "InDatagrams",
    "NoPorts",
    "InErrors",
    "OutDatagrams",
    "RcvbufErrors",
    "SndbufErrors",
    "InCsumErrors",
    "IgnoredMulti",
    "MemErrors",
];

impl Stack {
    /// /proc/net/snmp
    pub fn counters_table(&self) -> String {
        let counters = &self.counters;
        let mut text = String::new();
        group(&mut text, "Ip", IP, |column| {
            // It does not forward.
            String::from(match column {
                "Forwarding" => "2",
                "DefaultTTL" => "64",
                _ => "0",
            })
        });
        group(&mut text, "Icmp", ICMP, |column| {
            let number = match column {
                "InMsgs" | "InDestUnreachs" | "OutMsgs" | "OutDestUnreachs" => {
                    counters.no_ports.get()
                }
                _ => 0,
            };
            number.to_string()
        });
        let connected = |end: &std::sync::Arc<tcp::End>| {
            matches!(end.state(), tcp::State::Established | tcp::State::CloseWait)
        };
        let current = self.tcp.lock().all().filter(connected).count() as u64;
        let tcp = |column: &str| match column {
            "ActiveOpens" => counters.active_opens.get(),
            "PassiveOpens" => counters.passive_opens.get(),
            "AttemptFails" => counters.attempts_failed.get(),
            "EstabResets" => counters.resets.get(),
            "CurrEstab" => current,
            _ => 0,
        };
        let columns = ["RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn"].join(" ");
        let _ = writeln!(text, "Tcp: {columns} {}", TCP.join(" "));
        let values: Vec<String> = TCP.iter().map(|column| tcp(column).to_string()).collect();
        let _ = writeln!(text, "Tcp: {TIMES} {}", values.join(" "));
        group(&mut text, "Udp", UDP, |column| {
            let (there, lost, none) =
                (counters.datagrams.get(), counters.overruns.get(), counters.no_ports.get());
            let number = match column {
                "InDatagrams" => there,
                "NoPorts" => none,
                "InErrors" | "RcvbufErrors" => lost,
                "OutDatagrams" => there + lost + none + counters.datagrams_sent.get(),
                _ => 0,
            };
            number.to_string()
        });
        text
    }
}
