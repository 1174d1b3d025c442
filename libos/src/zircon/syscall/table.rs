//! Zircon's table of system calls; what the columns mean says [`abi::table`](crate::abi::table).
//!
//! The rows of what is absent have their arguments too: the vDSO exports them, the header declares them, and they fail.

use std::future::Future;

use kernel_objects::Error;

use super::{Arguments, argument::*, *};
use crate::{
    abi::table::{
        Coverage::{Full, Partial},
        system_calls,
    },
    zircon::{Caller, Thread, abi::*},
};

/// A parameter's name, and what declares it in C given its name.
pub type Parameter = (&'static str, fn(&str) -> String);

/// A call as C declares it.
pub struct Signature {
    /// The number in `rax`.
    pub number: u64,
    /// The name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
}

macro_rules! zircon_calls {
    (
        present { $($number:literal $name:ident($($argument:ident: $ty:ty),*) $kind:ident $(($first:path))? $handler:path, $coverage:expr;)* }
        absent { $($absent_number:literal $absent_name:ident($($absent_argument:ident: $absent_ty:ty),*) $(: $why:literal)?;)* }
    ) => {
        system_calls! {
            thread Thread, current Caller<'_>, arguments Arguments, error Error,
            unknown Error::BadSyscall, absent Error::NotSupported;
            present { $($number $name($($argument: $ty),*) $kind $(($first))? $handler, $coverage;)* }
            absent { $($absent_number $absent_name $(: $why)?)* }
        }

        /// Every call as C declares it.
        pub static SIGNATURES: &[Signature] = &[
            $(Signature {
                number: $number,
                name: stringify!($name),
                parameters: &[$((stringify!($argument), <$ty as CType>::declare)),*],
            },)*
            $(Signature {
                number: $absent_number,
                name: stringify!($absent_name),
                parameters: &[$((stringify!($absent_argument), <$absent_ty as CType>::declare)),*],
            },)*
        ];
    };
}

zircon_calls! {
    present {
        1 zx_handle_close(handle: ZxHandle) now handle::close, Full;
        2 zx_handle_close_many(handles: In<ZxHandle>, num_handles: usize) now handle::close_many, Full;
        3 zx_handle_duplicate(handle: ZxHandle, rights: ZxRights, out: Out<ZxHandle>) now handle::duplicate, Full;
        4 zx_handle_replace(handle: ZxHandle, rights: ZxRights, out: Out<ZxHandle>) now handle::replace, Full;
        5 zx_handle_check_valid(handle: ZxHandle) now handle::check_valid, Full;
        10 zx_object_get_info(handle: ZxHandle, topic: u32, buffer: Out<Void>, buffer_size: usize, actual: Out<usize>, avail: Out<usize>) now object::get_info, Partial("HANDLE_VALID, HANDLE_BASIC, HANDLE_COUNT, HANDLE_TABLE, PROCESS_HANDLE_STATS, RESOURCE, VMAR, VMO, BTI, MSI, PROCESS_VMOS, PROCESS, PROCESS_THREADS, JOB, JOB_CHILDREN, JOB_PROCESSES, THREAD, THREAD_STATS, THREAD_EXCEPTION_REPORT, SOCKET, TIMER, STREAM, PROCESS_MAPS, VMAR_MAPS, TASK_STATS, TASK_RUNTIME (but for locks), KMEM_STATS, INTERRUPT, IOB, IOB_REGIONS, CLOCK_MAPPED_SIZE, MEMORY_STALL; of the rest there is nothing to tell: guests, power and compression need hardware, and nobody counts what each CPU does");
        11 zx_object_get_property(handle: ZxHandle, property: u32, value: Out<Void>, value_size: usize) now object::get_property, Partial("NAME, REGISTER_FS, REGISTER_GS, VMO_CONTENT_SIZE, PROCESS_DEBUG_ADDR, PROCESS_VDSO_BASE_ADDRESS, PROCESS_BREAK_ON_LOAD, SOCKET_RX_THRESHOLD, SOCKET_TX_THRESHOLD, EXCEPTION_STATE, EXCEPTION_STRATEGY, STREAM_MODE_APPEND");
        12 zx_object_set_property(handle: ZxHandle, property: u32, value: In<Void>, value_size: usize) wait object::set_property, Partial("NAME, REGISTER_FS, REGISTER_GS (0), VMO_CONTENT_SIZE, PROCESS_DEBUG_ADDR, PROCESS_BREAK_ON_LOAD, SOCKET_RX_THRESHOLD, SOCKET_TX_THRESHOLD, JOB_KILL_ON_OOM, EXCEPTION_STATE, EXCEPTION_STRATEGY, STREAM_MODE_APPEND");
        13 zx_object_signal(handle: ZxHandle, clear_mask: u32, set_mask: u32) now object::signal, Full;
        14 zx_object_signal_peer(handle: ZxHandle, clear_mask: u32, set_mask: u32) now object::signal_peer, Full;
        15 zx_object_wait_one(handle: ZxHandle, signals: ZxSignals, deadline: ZxTime, observed: Out<ZxSignals>) wait object::wait_one, Full;
        16 zx_object_wait_many(items: Out<WaitItem>, num_items: usize, deadline: ZxTime) wait object::wait_many, Full;
        17 zx_object_wait_async(handle: ZxHandle, port: ZxHandle, key: u64, signals: ZxSignals, options: u32) now object::wait_async, Full;
        18 zx_object_get_child(handle: ZxHandle, koid: u64, rights: ZxRights, out: Out<ZxHandle>) now object::get_child, Full;
        19 zx_object_set_profile(handle: ZxHandle, profile: ZxHandle, options: u32) now profile::apply, Partial("recorded; of threads only the CPUs have an effect, when one is started");
        20 zx_channel_create(options: u32, out0: Out<ZxHandle>, out1: Out<ZxHandle>) now channel::create, Full;
        21 zx_channel_read(handle: ZxHandle, options: u32, bytes: Out<Void>, handles: Out<ZxHandle>, num_bytes: u32, num_handles: u32, actual_bytes: Out<u32>, actual_handles: Out<u32>) now channel::read, Full;
        22 zx_channel_read_etc(handle: ZxHandle, options: u32, bytes: Out<Void>, handles: Out<HandleInfo>, num_bytes: u32, num_handles: u32, actual_bytes: Out<u32>, actual_handles: Out<u32>) now channel::read_etc, Full;
        23 zx_channel_write(handle: ZxHandle, options: u32, bytes: In<Void>, num_bytes: u32, handles: In<ZxHandle>, num_handles: u32) now channel::write, Full;
        24 zx_channel_write_etc(handle: ZxHandle, options: u32, bytes: In<Void>, num_bytes: u32, handles: Out<HandleDisposition>, num_handles: u32) now channel::write_etc, Full;
        25 zx_channel_call(handle: ZxHandle, options: u32, deadline: ZxTime, args: In<ChannelCallArgs>, actual_bytes: Out<u32>, actual_handles: Out<u32>) wait channel::call, Full;
        26 zx_channel_call_etc(handle: ZxHandle, options: u32, deadline: ZxTime, args: Out<ChannelCallEtcArgs>, actual_bytes: Out<u32>, actual_handles: Out<u32>) wait channel::call_etc, Full;
        30 zx_event_create(options: u32, out: Out<ZxHandle>) now event::event_create, Full;
        31 zx_eventpair_create(options: u32, out0: Out<ZxHandle>, out1: Out<ZxHandle>) now event::eventpair_create, Full;
        35 zx_port_create(options: u32, out: Out<ZxHandle>) now port::create, Full;
        36 zx_port_queue(handle: ZxHandle, packet: In<PortPacket>) now port::queue, Full;
        37 zx_port_wait(handle: ZxHandle, deadline: ZxTime, packet: Out<PortPacket>) wait port::wait, Full;
        38 zx_port_cancel(handle: ZxHandle, source: ZxHandle, key: u64) now port::cancel, Full;
        39 zx_port_cancel_key(handle: ZxHandle, options: u32, key: u64) now port::cancel_key, Full;
        40 zx_vmo_create(size: u64, options: u32, out: Out<ZxHandle>) now vmo::create, Partial("unbounded ones not under --memory");
        41 zx_vmo_read(handle: ZxHandle, buffer: Out<Void>, offset: u64, buffer_size: usize) wait vmo::read, Full;
        42 zx_vmo_write(handle: ZxHandle, buffer: In<Void>, offset: u64, buffer_size: usize) wait vmo::write, Full;
        43 zx_vmo_get_size(handle: ZxHandle, size: Out<u64>) now vmo::get_size, Full;
        44 zx_vmo_set_size(handle: ZxHandle, size: u64) wait vmo::set_size, Full;
        45 zx_vmo_op_range(handle: ZxHandle, op: u32, offset: u64, size: u64, buffer: Out<Void>, buffer_size: usize) wait vmo::op_range, Full;
        46 zx_vmo_create_child(handle: ZxHandle, options: u32, offset: u64, size: u64, out: Out<ZxHandle>) now vmo::create_child, Full;
        47 zx_vmo_set_cache_policy(handle: ZxHandle, cache_policy: u32) now vmo::set_cache_policy, Full;
        48 zx_vmo_create_physical(resource: ZxHandle, paddr: ZxPaddr, size: usize, out: Out<ZxHandle>) now vmo::create_physical, Full;
        49 zx_vmo_create_contiguous(bti: ZxHandle, size: usize, alignment_log2: u32, out: Out<ZxHandle>) now vmo::create_contiguous, Full;
        50 zx_vmo_replace_as_executable(handle: ZxHandle, vmex: ZxHandle, out: Out<ZxHandle>) now vmo::replace_as_executable, Full;
        51 zx_vmo_transfer_data(dst_vmo: ZxHandle, options: u32, offset: u64, length: u64, src_vmo: ZxHandle, src_offset: u64) now vmo::transfer_data, Full;
        52 zx_vmo_set_stream_size(handle: ZxHandle, size: u64) wait vmo::set_stream_size, Full;
        53 zx_vmo_get_stream_size(handle: ZxHandle, size: Out<u64>) now vmo::get_stream_size, Full;
        60 zx_vmar_allocate(parent_vmar: ZxHandle, options: ZxVmOption, offset: usize, size: usize, child_vmar: Out<ZxHandle>, child_addr: Out<ZxVaddr>) now vmar::allocate, Full;
        61 zx_vmar_map(handle: ZxHandle, options: ZxVmOption, vmar_offset: usize, vmo: ZxHandle, vmo_offset: u64, len: usize, mapped_addr: Out<ZxVaddr>) now vmar::map, Full;
        62 zx_vmar_unmap(handle: ZxHandle, addr: ZxVaddr, len: usize) now vmar::unmap, Full;
        63 zx_vmar_protect(handle: ZxHandle, options: ZxVmOption, addr: ZxVaddr, len: usize) now vmar::protect, Full;
        64 zx_vmar_destroy(handle: ZxHandle) now vmar::destroy, Full;
        65 zx_vmar_op_range(handle: ZxHandle, op: u32, address: ZxVaddr, size: usize, buffer: Out<Void>, buffer_size: usize) wait vmar::op_range, Full;
        66 zx_vmar_unmap_handle_close_thread_exit(vmar_handle: ZxHandle, addr: ZxVaddr, size: usize, close_handle: ZxHandle) wait vmar::unmap_handle_close_thread_exit, Full;
        67 zx_vmar_map_iob(handle: ZxHandle, options: ZxVmOption, vmar_offset: usize, ep: ZxHandle, region_index: u32, region_offset: u64, region_len: usize, addr: Out<ZxVaddr>) now vmar::map_iob, Full;
        68 zx_vmar_map_clock(handle: ZxHandle, options: ZxVmOption, vmar_offset: u64, clock: ZxHandle, len: u64, mapped_addr: Out<ZxVaddr>) now vmar::map_clock, Full;
        69 zx_iob_create(options: u64, regions: In<Void>, num_regions: u32, ep0: Out<ZxHandle>, ep1: Out<ZxHandle>) now iob::create, Full;
        70 zx_iob_writev(handle: ZxHandle, options: u64, region_index: u32, vectors: In<Iovec>, num_vectors: usize) now iob::writev, Full;
        71 zx_iob_create_shared_region(options: u64, size: u64, out: Out<ZxHandle>) now iob::create_shared_region, Full;
        72 zx_iob_allocate_id(handle: ZxHandle, options: u32, region_index: u32, blob: In<Void>, blob_size: usize, id: Out<u32>) now iob::allocate_id, Full;
        80 zx_clock_get_monotonic() now clock::get_monotonic, Full;
        81 zx_clock_get_boot() now clock::get_boot, Full;
        82 zx_nanosleep(deadline: ZxTime) wait clock::nanosleep, Full;
        83 zx_clock_create(options: u64, args: In<Void>, out: Out<ZxHandle>) now clock::create, Full;
        84 zx_clock_read(handle: ZxHandle, now: Out<ZxTime>) now clock::read, Full;
        85 zx_clock_get_details(handle: ZxHandle, options: u64, details: Out<Void>) now clock::get_details, Full;
        86 zx_clock_update(handle: ZxHandle, options: u64, args: In<Void>) now clock::update, Full;
        87 zx_timer_create(options: u32, clock_id: ZxClock, out: Out<ZxHandle>) now timer::create, Full;
        88 zx_timer_set(handle: ZxHandle, deadline: ZxTime, slack: ZxDuration) now timer::set, Full;
        89 zx_timer_cancel(handle: ZxHandle) now timer::cancel, Full;
        90 zx_counter_create(options: u32, out: Out<ZxHandle>) now counter::create, Full;
        91 zx_counter_add(handle: ZxHandle, amount: i64) now counter::add, Full;
        92 zx_counter_read(handle: ZxHandle, value: Out<i64>) now counter::read, Full;
        93 zx_counter_write(handle: ZxHandle, value: i64) now counter::write, Full;
        94 zx_clock_read_mapped(clock_addr: In<Void>, now: Out<ZxTime>) wait clock::read_mapped, Full;
        95 zx_clock_get_details_mapped(clock_addr: In<Void>, options: u64, details: Out<Void>) wait clock::get_details_mapped, Full;
        100 zx_debuglog_create(resource: ZxHandle, options: u32, out: Out<ZxHandle>) now debuglog::create, Full;
        101 zx_debuglog_write(handle: ZxHandle, options: u32, buffer: In<Void>, buffer_size: usize) wait debuglog::write, Full;
        102 zx_debuglog_read(handle: ZxHandle, options: u32, buffer: Out<Void>, buffer_size: usize) now debuglog::read, Full;
        103 zx_debug_write(buffer: In<CChar>, buffer_size: usize) wait debuglog::debug_write, Full;
        104 zx_debug_read(resource: ZxHandle, buffer: Out<CChar>, buffer_size: usize, actual: Out<usize>) wait debuglog::debug_read, Full;
        110 zx_process_exit(retcode: i64) now process::exit, Full;
        111 zx_thread_exit() now thread::exit, Full;
        112 zx_process_create(job: ZxHandle, name: In<CChar>, name_size: usize, options: u32, proc_handle: Out<ZxHandle>, vmar_handle: Out<ZxHandle>) now process::create, Full;
        113 zx_process_start(handle: ZxHandle, thread: ZxHandle, entry: ZxVaddr, stack: ZxVaddr, arg1: ZxHandle, arg2: ZxVaddr) now process::start, Full;
        114 zx_process_read_memory(handle: ZxHandle, vaddr: ZxVaddr, buffer: Out<Void>, buffer_size: usize, actual: Out<usize>) wait process::read_memory, Full;
        115 zx_process_write_memory(handle: ZxHandle, vaddr: ZxVaddr, buffer: In<Void>, buffer_size: usize, actual: Out<usize>) wait process::write_memory, Full;
        116 zx_process_create_shared(shared_proc: ZxHandle, options: u32, name: In<CChar>, name_size: usize, proc_handle: Out<ZxHandle>, restricted_vmar_handle: Out<ZxHandle>) now process::create_shared, Full;
        117 zx_thread_create(process: ZxHandle, name: In<CChar>, name_size: usize, options: u32, out: Out<ZxHandle>) now thread::create, Full;
        118 zx_thread_start(handle: ZxHandle, thread_entry: ZxVaddr, stack: ZxVaddr, arg1: u64, arg2: u64) now thread::start, Full;
        119 zx_thread_read_state(handle: ZxHandle, kind: u32, buffer: Out<Void>, buffer_size: usize) now thread::read_state, Partial("neither debug registers nor single steps");
        120 zx_thread_write_state(handle: ZxHandle, kind: u32, buffer: In<Void>, buffer_size: usize) now thread::write_state, Partial("as zx_thread_read_state");
        121 zx_thread_legacy_yield(options: u32) wait thread::legacy_yield, Full;
        122 zx_thread_raise_exception(options: u32, r#type: u32, context: In<Void>) wait thread::raise_exception, Full;
        123 zx_task_kill(handle: ZxHandle) now task::kill, Full;
        124 zx_task_suspend(handle: ZxHandle, token: Out<ZxHandle>) now task::suspend, Full;
        125 zx_task_suspend_token(handle: ZxHandle, token: Out<ZxHandle>) now task::suspend, Full;
        126 zx_task_create_exception_channel(handle: ZxHandle, options: u32, out: Out<ZxHandle>) now task::create_exception_channel, Full;
        127 zx_exception_get_thread(handle: ZxHandle, out: Out<ZxHandle>) now task::exception_get_thread, Full;
        128 zx_exception_get_process(handle: ZxHandle, out: Out<ZxHandle>) now task::exception_get_process, Full;
        129 zx_job_create(parent_job: ZxHandle, options: u32, out: Out<ZxHandle>) now job::create, Full;
        130 zx_job_set_policy(handle: ZxHandle, options: u32, topic: u32, policy: In<Void>, policy_size: u32) now job::set_policy, Full;
        131 zx_job_set_critical(job: ZxHandle, options: u32, process: ZxHandle) now job::set_critical, Full;
        140 zx_cprng_draw(buffer: Out<Void>, buffer_size: usize) wait system::cprng_draw, Full;
        141 zx_cprng_add_entropy(buffer: In<Void>, buffer_size: usize) wait system::cprng_add_entropy, Full;
        142 zx_system_get_event(root_job: ZxHandle, kind: u32, event: Out<ZxHandle>) now system::get_event, Full;
        143 zx_system_get_performance_info(resource: ZxHandle, topic: u32, count: usize, info: Out<Void>, output_count: Out<usize>) now performance::get, Full;
        144 zx_system_set_performance_info(resource: ZxHandle, topic: u32, info: In<Void>, count: usize) now performance::set, Partial("kept and told: how fast the processors run is the host's business");
        147 zx_system_powerctl(resource: ZxHandle, cmd: u32, arg: In<Void>) now system::powerctl, Partial("SHUTDOWN, which ends the program; what else there is needs hardware");
        148 zx_system_watch_memory_stall(resource: ZxHandle, kind: u32, threshold: ZxDuration, window: ZxDuration, event: Out<ZxHandle>) now system::watch_memory_stall, Full;
        160 zx_futex_wait(value_ptr: In<ZxFutex>, current_value: i32, new_futex_owner: ZxHandle, deadline: ZxTime) wait futex::wait, Full;
        161 zx_futex_wake(value_ptr: In<ZxFutex>, wake_count: u32) now futex::wake, Full;
        162 zx_futex_wake_single_owner(value_ptr: In<ZxFutex>) now futex::wake_single_owner, Full;
        163 zx_futex_requeue(value_ptr: In<ZxFutex>, wake_count: u32, current_value: i32, requeue_ptr: In<ZxFutex>, requeue_count: u32, new_requeue_owner: ZxHandle) now futex::requeue, Full;
        164 zx_futex_requeue_single_owner(value_ptr: In<ZxFutex>, current_value: i32, requeue_ptr: In<ZxFutex>, requeue_count: u32, new_requeue_owner: ZxHandle) now futex::requeue_single_owner, Full;
        165 zx_futex_get_owner(value_ptr: In<ZxFutex>, koid: Out<ZxKoid>) now futex::get_owner, Full;
        166 zx_futex_wake_handle_close_thread_exit(value_ptr: In<ZxFutex>, wake_count: u32, new_value: i32, close_handle: ZxHandle) now futex::wake_handle_close_thread_exit, Full;
        170 zx_fifo_create(elem_count: usize, elem_size: usize, options: u32, out0: Out<ZxHandle>, out1: Out<ZxHandle>) now fifo::create, Full;
        171 zx_fifo_read(handle: ZxHandle, elem_size: usize, data: Out<Void>, data_size: usize, actual_count: Out<usize>) now fifo::read, Full;
        172 zx_fifo_write(handle: ZxHandle, elem_size: usize, data: In<Void>, count: usize, actual_count: Out<usize>) now fifo::write, Full;
        175 zx_socket_create(options: u32, out0: Out<ZxHandle>, out1: Out<ZxHandle>) now socket::create, Full;
        176 zx_socket_read(handle: ZxHandle, options: u32, buffer: Out<Void>, buffer_size: usize, actual: Out<usize>) now socket::read, Full;
        177 zx_socket_write(handle: ZxHandle, options: u32, buffer: In<Void>, buffer_size: usize, actual: Out<usize>) now socket::write, Full;
        178 zx_socket_set_disposition(handle: ZxHandle, disposition: u32, disposition_peer: u32) now socket::set_disposition, Full;
        180 zx_stream_create(options: u32, vmo: ZxHandle, seek: ZxOff, out_stream: Out<ZxHandle>) now stream::create, Full;
        181 zx_stream_readv(handle: ZxHandle, options: u32, vector: Out<Iovec>, num_vector: usize, actual: Out<usize>) wait stream::readv, Full;
        182 zx_stream_readv_at(handle: ZxHandle, options: u32, offset: ZxOff, vector: Out<Iovec>, num_vector: usize, actual: Out<usize>) wait stream::readv_at, Full;
        183 zx_stream_writev(handle: ZxHandle, options: u32, vector: In<Iovec>, num_vector: usize, actual: Out<usize>) wait stream::writev, Full;
        184 zx_stream_writev_at(handle: ZxHandle, options: u32, offset: ZxOff, vector: In<Iovec>, num_vector: usize, actual: Out<usize>) wait stream::writev_at, Full;
        185 zx_stream_seek(handle: ZxHandle, whence: ZxSeekOrigin, offset: i64, out_seek: Out<ZxOff>) now stream::seek, Full;
        190 zx_pager_create(options: u32, out: Out<ZxHandle>) now pager::create, Full;
        191 zx_pager_create_vmo(pager: ZxHandle, options: u32, port: ZxHandle, key: u64, size: u64, out: Out<ZxHandle>) now pager::create_vmo, Full;
        192 zx_pager_detach_vmo(pager: ZxHandle, vmo: ZxHandle) now pager::detach_vmo, Full;
        193 zx_pager_supply_pages(pager: ZxHandle, pager_vmo: ZxHandle, offset: u64, length: u64, aux_vmo: ZxHandle, aux_offset: u64) now pager::supply_pages, Full;
        194 zx_pager_op_range(pager: ZxHandle, op: u32, pager_vmo: ZxHandle, offset: u64, length: u64, data: u64) now pager::op_range, Full;
        195 zx_pager_query_dirty_ranges(pager: ZxHandle, pager_vmo: ZxHandle, offset: u64, length: u64, buffer: Out<Void>, buffer_size: usize, actual: Out<usize>, avail: Out<usize>) now pager::query_dirty_ranges, Full;
        196 zx_pager_query_vmo_stats(pager: ZxHandle, pager_vmo: ZxHandle, options: u32, buffer: Out<Void>, buffer_size: usize) now pager::query_vmo_stats, Full;
        200 zx_resource_create(parent_rsrc: ZxHandle, options: u32, base: u64, size: usize, name: In<CChar>, name_size: usize, resource_out: Out<ZxHandle>) now resource::create, Full;
        205 zx_interrupt_create(src_obj: ZxHandle, src_num: u32, options: u32, out_handle: Out<ZxHandle>) now interrupt::create, Partial("virtual ones");
        206 zx_interrupt_bind(handle: ZxHandle, port_handle: ZxHandle, key: u64, options: u32) now interrupt::bind, Full;
        207 zx_interrupt_wait(handle: ZxHandle, out_timestamp: Out<ZxTime>) wait interrupt::wait, Full;
        208 zx_interrupt_ack(handle: ZxHandle) now interrupt::ack, Full;
        209 zx_interrupt_destroy(handle: ZxHandle) now interrupt::destroy, Full;
        210 zx_interrupt_trigger(handle: ZxHandle, options: u32, timestamp: ZxTime) now interrupt::trigger, Full;
        211 zx_msi_allocate(handle: ZxHandle, count: u32, out_allocation: Out<ZxHandle>) now interrupt::msi_allocate, Full;
        212 zx_msi_create(handle: ZxHandle, options: u32, msi_id: u32, vmo: ZxHandle, vmo_offset: usize, out_interrupt: Out<ZxHandle>) now interrupt::msi_create, Partial("no device of the machine raises one");
        220 zx_iommu_create(resource: ZxHandle, r#type: u32, desc: In<Void>, desc_size: usize, out: Out<ZxHandle>) now dma::iommu_create, Full;
        221 zx_bti_create(iommu: ZxHandle, options: u32, bti_id: u64, out: Out<ZxHandle>) now dma::bti_create, Full;
        222 zx_bti_pin(handle: ZxHandle, options: u32, vmo: ZxHandle, offset: u64, size: u64, addrs: Out<ZxPaddr>, num_addrs: usize, pmt: Out<ZxHandle>) wait dma::bti_pin, Full;
        223 zx_bti_release_quarantine(handle: ZxHandle) now dma::bti_release_quarantine, Full;
        224 zx_pmt_unpin(handle: ZxHandle) now dma::pmt_unpin, Full;
        230 zx_profile_create(root_job: ZxHandle, options: u32, profile: In<ProfileInfo>, out: Out<ZxHandle>) now profile::create, Full;
        290 zx_restricted_enter(options: u32, vector_table_ptr: ZxVaddr, context: u64) now restricted::enter, Partial("the GS base is 0");
        291 zx_restricted_bind_state(options: u32, out: Out<ZxHandle>) now restricted::bind_state, Full;
        292 zx_restricted_unbind_state(options: u32) now restricted::unbind_state, Full;
        293 zx_restricted_kick(thread: ZxHandle, options: u32) now restricted::kick, Full;
    }
    absent {
        105 zx_debug_send_command(resource: ZxHandle, buffer: In<CChar>, buffer_size: usize): "kernel debugging, off";
        145 zx_system_mexec(resource: ZxHandle, kernel_vmo: ZxHandle, bootimage_vmo: ZxHandle): "hardware";
        146 zx_system_mexec_payload_get(resource: ZxHandle, buffer: Out<Void>, buffer_size: usize): "hardware";
        149 zx_system_suspend_enter(resource: ZxHandle, deadline: ZxTime): "hardware";
        240 zx_pci_get_nth_device(handle: ZxHandle, index: u32, out_info: Out<Void>, out_handle: Out<ZxHandle>): "hardware";
        241 zx_pci_config_read(handle: ZxHandle, offset: u16, width: usize, out_val: Out<u32>): "hardware";
        242 zx_pci_config_write(handle: ZxHandle, offset: u16, width: usize, val: u32): "hardware";
        243 zx_pci_enable_bus_master(handle: ZxHandle, enable: u32): "hardware";
        244 zx_pci_get_bar(handle: ZxHandle, bar_num: u32, out_bar: Out<Void>, out_handle: Out<ZxHandle>): "hardware";
        245 zx_pci_map_interrupt(handle: ZxHandle, which_irq: i32, out_handle: Out<ZxHandle>): "hardware";
        246 zx_pci_query_irq_mode(handle: ZxHandle, mode: u32, out_max_irqs: Out<u32>): "hardware";
        247 zx_pci_set_irq_mode(handle: ZxHandle, mode: u32, requested_irq_count: u32): "hardware";
        248 zx_pci_reset_device(handle: ZxHandle): "hardware";
        249 zx_pci_init(handle: ZxHandle, init_buf: In<Void>, len: u32): "hardware";
        250 zx_pci_add_subtract_io_range(handle: ZxHandle, mmio: u32, base: u64, len: u64, add: u32): "hardware";
        251 zx_pci_cfg_pio_rw(handle: ZxHandle, bus: u8, dev: u8, func: u8, offset: u8, val: Out<u32>, width: usize, write: u32): "hardware";
        260 zx_ioports_request(resource: ZxHandle, io_addr: u16, len: u32): "hardware";
        261 zx_ioports_release(resource: ZxHandle, io_addr: u16, len: u32): "hardware";
        262 zx_framebuffer_get_info(resource: ZxHandle, format: Out<u32>, width: Out<u32>, height: Out<u32>, stride: Out<u32>): "hardware";
        263 zx_framebuffer_set_range(resource: ZxHandle, vmo: ZxHandle, len: u32, format: u32, width: u32, height: u32, stride: u32): "hardware";
        264 zx_pc_firmware_tables(handle: ZxHandle, acpi_rsdp: Out<ZxPaddr>, smbios: Out<ZxPaddr>): "hardware";
        265 zx_smc_call(handle: ZxHandle, parameters: In<Void>, out_smc_result: Out<Void>): "hardware";
        270 zx_guest_create(resource: ZxHandle, options: u32, guest_handle: Out<ZxHandle>, vmar_handle: Out<ZxHandle>): "hardware";
        271 zx_guest_set_trap(handle: ZxHandle, kind: u32, addr: ZxVaddr, size: usize, port_handle: ZxHandle, key: u64): "hardware";
        272 zx_vcpu_create(guest: ZxHandle, options: u32, entry: ZxVaddr, out: Out<ZxHandle>): "hardware";
        273 zx_vcpu_enter(handle: ZxHandle, packet: Out<PortPacket>): "hardware";
        274 zx_vcpu_interrupt(handle: ZxHandle, vector: u32): "hardware";
        275 zx_vcpu_kick(handle: ZxHandle): "hardware";
        276 zx_vcpu_read_state(handle: ZxHandle, kind: u32, buffer: Out<Void>, buffer_size: usize): "hardware";
        277 zx_vcpu_write_state(handle: ZxHandle, kind: u32, buffer: In<Void>, buffer_size: usize): "hardware";
        280 zx_ktrace_control(handle: ZxHandle, action: u32, options: u32, ptr: Out<Void>): "kernel debugging, off";
        281 zx_ktrace_read(handle: ZxHandle, data: Out<Void>, offset: u32, data_size: usize, actual: Out<usize>): "kernel debugging, off";
        282 zx_ktrace_write(handle: ZxHandle, id: u32, arg0: u32, arg1: u32): "kernel debugging, off";
        283 zx_mtrace_control(handle: ZxHandle, kind: u32, action: u32, options: u32, ptr: Out<Void>, ptr_size: usize): "kernel debugging, off";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_and_no_name_is_there_twice() {
        crate::abi::table::tests::assert_unique(TABLE);
    }
}
