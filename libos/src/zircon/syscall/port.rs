//! Ports.

use kernel_objects::{
    Error, Handle, Port, Result, Rights,
    port::{Packet, Payload, PortOptions},
    task::{BlockedReason, PolicyCondition},
};
use zerocopy::transmute;

use super::{
    argument::{In, Out},
    no_options,
};
use crate::zircon::{
    Thread,
    abi::{
        PacketInterrupt, PacketPageRequest, PacketPayload, PacketSignal, PortPacket, ZxHandle,
        ZxStatus, ZxTime, constants::ZX_PKT_TYPE_USER,
    },
};

/// zx_port_create
pub(super) fn create(thread: &Thread, options: u32, out: Out<ZxHandle>) -> Result {
    let port = Port::create_with(PortOptions::from_bits_retain(options))?;
    thread.policy(PolicyCondition::NewPort)?;
    thread.give([(Handle::new(port), out)])
}

/// zx_port_queue
pub(super) fn queue(thread: &Thread, handle: ZxHandle, packet: In<PortPacket>) -> Result {
    let port = thread.get::<Port>(handle, Rights::WRITE)?;
    let packet = packet.0.read(thread.vmar())?;
    if packet.r#type != ZX_PKT_TYPE_USER {
        return Err(Error::InvalidArgs);
    }
    port.queue(packet.key, packet.status.0, transmute!(packet.payload))
}

/// zx_port_wait
pub(super) async fn wait(
    thread: &Thread,
    handle: ZxHandle,
    deadline: ZxTime,
    packet: Out<PortPacket>,
) -> Result {
    let port = thread.get::<Port>(handle, Rights::READ)?;
    let wait = port.wait_until(deadline.deadline());
    let received = thread.blocked(BlockedReason::Port, wait).await?;
    packet.0.write(thread.vmar(), &encode(&received))
}

/// zx_port_cancel
pub(super) fn cancel(thread: &Thread, handle: ZxHandle, source: ZxHandle, key: u64) -> Result {
    let port = thread.get::<Port>(handle, Rights::WRITE)?;
    let source = thread.handles().get_any(source.value(), Rights::WAIT)?;
    port.cancel(source.koid(), key)
}

/// zx_port_cancel_key
pub(super) fn cancel_key(thread: &Thread, handle: ZxHandle, options: u32, key: u64) -> Result {
    no_options(options)?;
    thread.get::<Port>(handle, Rights::WRITE)?.cancel_key(key)
}

/// As C has it.
fn encode(packet: &Packet) -> PortPacket {
    let payload = match packet.payload {
        Payload::User(bytes) => transmute!(bytes),
        Payload::Signal(signal) => transmute!(PacketSignal {
            trigger: signal.trigger.into(),
            observed: signal.observed.into(),
            count: signal.count,
            timestamp: signal.timestamp,
            reserved1: 0,
        }),
        Payload::Interrupt(interrupt) => transmute!(PacketInterrupt {
            timestamp: ZxTime::from_nanos(interrupt.timestamp),
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        }),
        Payload::PageRequest(request) => transmute!(PacketPageRequest {
            command: request.command as u16,
            flags: 0,
            reserved0: 0,
            offset: request.offset,
            length: request.length,
            reserved1: 0,
        }),
    };
    PortPacket {
        key: packet.key,
        r#type: packet.payload.packet_type(),
        status: ZxStatus(packet.status),
        payload: PacketPayload(payload),
    }
}
