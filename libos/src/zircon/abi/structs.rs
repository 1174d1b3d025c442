//! The structures of `<zircon/types.h>` and `<zircon/syscalls/*.h>`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{CType, plain, scalar::*};

/// A structure's name in C and its fields, each declared.
pub struct Declaration {
    /// Without the `_t`.
    pub name: &'static str,
    /// How many bytes it has.
    pub size: usize,
    /// Its fields' declarations.
    pub fields: fn() -> Vec<String>,
}

/// A field's name in C, which knows other keywords.
fn c_name(field: &'static str) -> &'static str {
    field.trim_start_matches("r#")
}

macro_rules! structs {
    ($($(#[doc = $doc:literal])+ $name:ident = $c_name:literal, $size:literal {
        $($(#[doc = $field_doc:literal])+ $field:ident: $ty:ty,)+
    })*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            pub struct $name {
                $($(#[doc = $field_doc])+ pub $field: $ty,)+
            }

            const _: () = assert!(size_of::<$name>() == $size);

            impl CType for $name {
                fn declare(name: &str) -> String { plain(concat!($c_name, "_t"), name) }
            }
        )*

        /// All of them, in an order in which C can read them.
        pub const STRUCTS: &[Declaration] = &[$(Declaration {
            name: $c_name,
            size: $size,
            fields: || vec![$(<$ty as CType>::declare(c_name(stringify!($field)))),+],
        }),*];
    };
}

structs! {
    /// What is waited for in `zx_object_wait_many`.
    WaitItem = "zx_wait_item", 12 {
        /// Through which handle.
        handle: ZxHandle,
        /// For which signals.
        waitfor: ZxSignals,
        /// The object's signals afterwards.
        pending: ZxSignals,
    }
    /// A handle that was read from a channel.
    HandleInfo = "zx_handle_info", 16 {
        /// Its value.
        handle: ZxHandle,
        /// Its object's type.
        r#type: ZxObjType,
        /// Its rights.
        rights: ZxRights,
        /// 0.
        unused: u32,
    }
    /// A handle that is written to a channel.
    HandleDisposition = "zx_handle_disposition", 20 {
        /// Moved or duplicated.
        operation: ZxHandleOp,
        /// Its value.
        handle: ZxHandle,
        /// The type that its object must have, or none.
        r#type: ZxObjType,
        /// The rights that it will have.
        rights: ZxRights,
        /// What became of it.
        result: ZxStatus,
    }
    /// The message of `zx_channel_call` and the room for its answer.
    ChannelCallArgs = "zx_channel_call_args", 48 {
        /// The bytes.
        wr_bytes: ConstBytes,
        /// The handles.
        wr_handles: ConstHandles,
        /// Where the answer's bytes go.
        rd_bytes: MutBytes,
        /// Where the answer's handles go.
        rd_handles: MutHandles,
        /// How many bytes.
        wr_num_bytes: u32,
        /// How many handles.
        wr_num_handles: u32,
        /// Room for how many bytes.
        rd_num_bytes: u32,
        /// Room for how many handles.
        rd_num_handles: u32,
    }
    /// The message of `zx_channel_call_etc` and the room for its answer.
    ChannelCallEtcArgs = "zx_channel_call_etc_args", 48 {
        /// The bytes.
        wr_bytes: ConstBytes,
        /// The handles and what is done with them.
        wr_handles: MutDispositions,
        /// Where the answer's bytes go.
        rd_bytes: MutBytes,
        /// Where the answer's handles go.
        rd_handles: MutHandleInfos,
        /// How many bytes.
        wr_num_bytes: u32,
        /// How many handles.
        wr_num_handles: u32,
        /// Room for how many bytes.
        rd_num_bytes: u32,
        /// Room for how many handles.
        rd_num_handles: u32,
    }
    /// A part of a message.
    ChannelIovec = "zx_channel_iovec", 16 {
        /// Its bytes.
        buffer: ConstBytes,
        /// How many.
        capacity: u32,
        /// 0.
        reserved: u32,
    }
    /// A part of a stream's transfer.
    Iovec = "zx_iovec", 16 {
        /// Where it is.
        buffer: MutBytes,
        /// How many bytes.
        capacity: u64,
    }
    /// What is in a packet that a user sends.
    PacketUser = "zx_packet_user", 32 {
        /// Anything.
        words: UserWords,
    }
    /// What is in a packet of `zx_object_wait_async`.
    PacketSignal = "zx_packet_signal", 32 {
        /// What was waited for.
        trigger: ZxSignals,
        /// All signals of the object.
        observed: ZxSignals,
        /// 1.
        count: u64,
        /// When, if asked for.
        timestamp: u64,
        /// 0.
        reserved1: u64,
    }
    /// What is in a packet of an interrupt.
    PacketInterrupt = "zx_packet_interrupt", 32 {
        /// When it was triggered.
        timestamp: ZxTime,
        /// 0.
        reserved0: u64,
        /// 0.
        reserved1: u64,
        /// 0.
        reserved2: u64,
    }
    /// What is in a packet of a pager.
    PacketPageRequest = "zx_packet_page_request", 32 {
        /// What is to be done: `ZX_PAGER_VMO_*`.
        command: u16,
        /// How.
        flags: u16,
        /// 0.
        reserved0: u32,
        /// The first byte.
        offset: u64,
        /// How many.
        length: u64,
        /// 0.
        reserved1: u64,
    }
    /// What a region of an IOBuffer means to the kernel.
    IobDiscipline = "zx_iob_discipline", 72 {
        /// `ZX_IOB_DISCIPLINE_TYPE_NONE`.
        r#type: u64,
        /// 0.
        reserved: [u64; 8],
    }
    /// A region with memory of its own.
    IobRegionPrivate = "zx_iob_region_private", 32 {
        /// 0.
        options: u32,
        /// 0.
        padding1: u32,
        /// 0.
        padding2: [u64; 3],
    }
    /// A region of an IOBuffer.
    IobRegion = "zx_iob_region", 120 {
        /// `ZX_IOB_REGION_TYPE_PRIVATE`.
        r#type: u32,
        /// Who may do what: `ZX_IOB_EP*_CAN_*`.
        access: u32,
        /// Bytes; rounded up to pages.
        size: u64,
        /// What it means.
        discipline: IobDiscipline,
        /// By its type.
        private_region: IobRegionPrivate,
    }
    /// `ZX_INFO_IOB`.
    InfoIob = "zx_info_iob", 16 {
        /// How it was made.
        options: u64,
        /// How many regions it has.
        region_count: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// `ZX_INFO_IOB_REGIONS`: a region as this end sees it.
    IobRegionInfo = "zx_iob_region_info", 128 {
        /// The region.
        region: IobRegion,
        /// The identity of its memory.
        koid: ZxKoid,
    }
    /// How fast a clock runs.
    ClockRate = "zx_clock_rate", 8 {
        /// By how much it moves ...
        synthetic_ticks: u32,
        /// ... while its reference moves by this much.
        reference_ticks: u32,
    }
    /// A line from the times of a clock's reference to those of the clock.
    ClockTransformation = "zx_clock_transformation", 24 {
        /// A time of the reference ...
        reference_offset: i64,
        /// ... and what the clock shows then.
        synthetic_offset: i64,
        /// From there on.
        rate: ClockRate,
    }
    /// All about a clock.
    ClockDetailsV1 = "zx_clock_details_v1", 112 {
        /// `ZX_CLOCK_OPT_*`.
        options: u64,
        /// What it never goes below.
        backstop_time: ZxTime,
        /// From ticks of the processor.
        reference_ticks_to_synthetic: ClockTransformation,
        /// From nanoseconds of the reference.
        reference_to_synthetic: ClockTransformation,
        /// How wrong it may be, in nanoseconds.
        error_bound: u64,
        /// When this was asked.
        query_ticks: ZxTicks,
        /// When its value was last set; 0 for never, here and below.
        last_value_update_ticks: ZxTicks,
        /// When its rate was last set.
        last_rate_adjust_update_ticks: ZxTicks,
        /// When its error bound was last set.
        last_error_bounds_update_ticks: ZxTicks,
        /// Another number after each update.
        generation_counter: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// What a pager has to write back.
    VmoDirtyRange = "zx_vmo_dirty_range", 24 {
        /// The first byte.
        offset: u64,
        /// How many.
        length: u64,
        /// What they are: `ZX_VMO_DIRTY_RANGE_IS_ZERO`.
        options: u64,
    }
    /// What a pager knows of a VMO's use.
    PagerVmoStats = "zx_pager_vmo_stats", 4 {
        /// `ZX_PAGER_VMO_STATS_MODIFIED` or 0.
        modified: u32,
    }
    /// A packet of a port.
    PortPacket = "zx_port_packet", 48 {
        /// What it is about.
        key: u64,
        /// Its kind: `ZX_PKT_TYPE_*`.
        r#type: u32,
        /// A status.
        status: ZxStatus,
        /// The rest, by its kind.
        payload: PacketPayload,
    }
    /// `ZX_INFO_HANDLE_BASIC`.
    InfoHandleBasic = "zx_info_handle_basic", 32 {
        /// The object's identity.
        koid: ZxKoid,
        /// The handle's rights.
        rights: ZxRights,
        /// The object's type.
        r#type: ZxObjType,
        /// The related object's identity.
        related_koid: ZxKoid,
        /// Whether it can be waited for.
        props: ZxObjProps,
        /// 0.
        padding1: [u8; 4],
    }
    /// What `ZX_VMO_OP_LOCK` tells.
    VmoLockState = "zx_vmo_lock_state", 32 {
        /// The first byte that was locked.
        offset: u64,
        /// How many.
        size: u64,
        /// The first byte that had been discarded.
        discarded_offset: u64,
        /// How many.
        discarded_size: u64,
    }
    /// `ZX_INFO_HANDLE_TABLE`.
    InfoHandleExtended = "zx_info_handle_extended", 40 {
        /// The object's type.
        r#type: ZxObjType,
        /// The handle's value in the process that was asked about.
        handle_value: ZxHandle,
        /// The handle's rights.
        rights: ZxRights,
        /// Whether it can be waited for.
        props: ZxObjProps,
        /// The object's identity.
        koid: ZxKoid,
        /// The related object's identity.
        related_koid: ZxKoid,
        /// 0, as in Zircon.
        peer_owner_koid: ZxKoid,
    }
    /// `ZX_INFO_PROCESS_HANDLE_STATS`.
    InfoProcessHandleStats = "zx_info_process_handle_stats", 256 {
        /// How many handles there are to objects of each type.
        handle_count: [u32; 64],
    }
    /// `ZX_INFO_RESOURCE`.
    InfoResource = "zx_info_resource", 56 {
        /// What it is about: `ZX_RSRC_KIND_*`.
        kind: u32,
        /// Whether it is exclusive: `ZX_RSRC_FLAG_EXCLUSIVE`.
        flags: u32,
        /// The first of its range.
        base: u64,
        /// How many there are.
        size: usize,
        /// Its name.
        name: [CChar; 32],
    }
    /// How a clock is made.
    ClockCreateArgsV1 = "zx_clock_create_args_v1", 8 {
        /// What it never goes below.
        backstop_time: ZxTime,
    }
    /// What of a clock is to change: each if the options say so.
    ClockUpdateArgsV1 = "zx_clock_update_args_v1", 24 {
        /// How much faster than its reference it is to run, in parts per million.
        rate_adjust: i32,
        /// 0.
        padding1: u32,
        /// What it is to show.
        value: i64,
        /// How wrong it may be.
        error_bound: u64,
    }
    /// What of a clock is to change: each if the options say so.
    ClockUpdateArgsV2 = "zx_clock_update_args_v2", 32 {
        /// How much faster than its reference it is to run, in parts per million.
        rate_adjust: i32,
        /// 0.
        padding1: u32,
        /// What it is to show ...
        synthetic_value: i64,
        /// ... when its reference shows this.
        reference_value: i64,
        /// How wrong it may be.
        error_bound: u64,
    }
    /// `ZX_INFO_PROCESS`.
    InfoProcess = "zx_info_process", 24 {
        /// Why it ended, once it has.
        return_code: i64,
        /// When it was started.
        start_time: ZxTime,
        /// `ZX_INFO_PROCESS_FLAG_*`.
        flags: u32,
        /// 0.
        padding1: u32,
    }
    /// `ZX_INFO_JOB`.
    InfoJob = "zx_info_job", 16 {
        /// Why it ended, once it has.
        return_code: i64,
        /// Whether it has.
        exited: CBool,
        /// Whether it is to be killed when there is no memory left.
        kill_on_oom: CBool,
        /// Whether somebody debugs it.
        debugger_attached: CBool,
        /// 0.
        padding1: [u8; 5],
    }
    /// A set of CPUs.
    CpuMask = "zx_cpu_set", 64 {
        /// One bit for each.
        mask: [u64; 8],
    }
    /// `ZX_INFO_THREAD`.
    InfoThread = "zx_info_thread", 72 {
        /// What it is doing.
        state: ZxThreadState,
        /// By which channel the exception that it waits in went to a handler: `ZX_EXCEPTION_CHANNEL_TYPE_*`.
        wait_exception_channel_type: u32,
        /// Where it may run.
        cpu_affinity_mask: CpuMask,
    }
    /// `ZX_INFO_THREAD_STATS`.
    InfoThreadStats = "zx_info_thread_stats", 16 {
        /// For how long it has run.
        total_runtime: ZxDuration,
        /// Where it last did, `ZX_INFO_INVALID_CPU` if it never has.
        last_scheduled_cpu: u32,
        /// 0.
        padding1: u32,
    }
    /// `ZX_INFO_SOCKET`.
    InfoSocket = "zx_info_socket", 48 {
        /// What it carries.
        options: u32,
        /// 0.
        padding1: u32,
        /// How many bytes its buffer has room for.
        rx_buf_max: usize,
        /// How many there are in it.
        rx_buf_size: usize,
        /// How many of them one read can get.
        rx_buf_available: usize,
        /// How many bytes the other end's buffer has room for.
        tx_buf_max: usize,
        /// How many there are in it.
        tx_buf_size: usize,
    }
    /// `ZX_INFO_TIMER`.
    InfoTimer = "zx_info_timer", 24 {
        /// In which direction its deadlines may be moved.
        options: u32,
        /// The clock of its deadlines.
        clock_id: ZxClock,
        /// When it will fire, 0 if it is not set.
        deadline: ZxTime,
        /// By how much that may be moved.
        slack: ZxDuration,
    }
    /// `ZX_INFO_STREAM`.
    InfoStream = "zx_info_stream", 24 {
        /// What it is for.
        options: u32,
        /// 0.
        padding1: u32,
        /// Its position.
        seek: ZxOff,
        /// Where it ends.
        content_size: u64,
    }
    /// The message in an exception channel.
    ExceptionInfo = "zx_exception_info", 24 {
        /// The process.
        pid: ZxKoid,
        /// The thread.
        tid: ZxKoid,
        /// What happened: `ZX_EXCP_*`.
        r#type: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// An x87 register: 80 bits, or 64 of MMX.
    X87Register = "zx_x87_register", 16 {
        /// The low 64 bits.
        low: u64,
        /// The rest.
        high: u64,
    }
    /// The x87 registers.
    ThreadFpRegs = "zx_thread_state_fp_regs", 160 {
        /// Control word.
        fcw: u16,
        /// Status word.
        fsw: u16,
        /// Tag word, a bit for each register.
        ftw: u8,
        /// 0.
        reserved: u8,
        /// Opcode of the last instruction.
        fop: u16,
        /// Its address.
        fip: u64,
        /// The address of its operand.
        fdp: u64,
        /// 0.
        padding1: [u8; 8],
        /// From the top of the stack on.
        st: [X87Register; 8],
    }
    /// A vector register: zmm, of which ymm and xmm are the low half and quarter.
    ZmmRegister = "zx_zmm_register", 64 {
        /// 64 bits each.
        v: [u64; 8],
    }
    /// The vector registers; what the processor does not have is 0.
    ThreadVectorRegs = "zx_thread_state_vector_regs", 2120 {
        /// zmm0 to zmm31.
        zmm: [ZmmRegister; 32],
        /// k0 to k7.
        opmask: [u64; 8],
        /// Control and status.
        mxcsr: u32,
        /// 0.
        padding1: [u8; 4],
    }
    /// The general registers and the segments' bases.
    ThreadGeneralRegs = "zx_thread_state_general_regs", 160 {
        /// A register.
        rax: u64,
        /// A register.
        rbx: u64,
        /// A register.
        rcx: u64,
        /// A register.
        rdx: u64,
        /// A register.
        rsi: u64,
        /// A register.
        rdi: u64,
        /// A register.
        rbp: u64,
        /// A register.
        rsp: u64,
        /// A register.
        r8: u64,
        /// A register.
        r9: u64,
        /// A register.
        r10: u64,
        /// A register.
        r11: u64,
        /// A register.
        r12: u64,
        /// A register.
        r13: u64,
        /// A register.
        r14: u64,
        /// A register.
        r15: u64,
        /// A register.
        rip: u64,
        /// A register.
        rflags: u64,
        /// The base of FS.
        fs_base: u64,
        /// The base of GS.
        gs_base: u64,
    }
    /// What the processor and the kernel say of an exception.
    ExceptionContext = "zx_exception_context", 32 {
        /// The exception's vector.
        vector: u64,
        /// Its error code.
        err_code: u64,
        /// The address of a page fault.
        cr2: u64,
        /// What happened, for exceptions that are not the processor's.
        synth_code: u32,
        /// More of that.
        synth_data: u32,
    }
    /// What kind of exception it is.
    ExceptionHeader = "zx_exception_header", 8 {
        /// How many bytes the report has.
        size: u32,
        /// What happened: `ZX_EXCP_*`.
        r#type: u32,
    }
    /// `ZX_INFO_THREAD_EXCEPTION_REPORT`.
    ExceptionReport = "zx_exception_report", 40 {
        /// What happened.
        header: ExceptionHeader,
        /// What is known of it.
        context: ExceptionContext,
    }
    /// A line of `ZX_JOB_POL_BASIC_V1`.
    PolicyBasicV1 = "zx_policy_basic_v1", 8 {
        /// What a process does: `ZX_POL_*`.
        condition: u32,
        /// What happens then: `ZX_POL_ACTION_*`.
        policy: u32,
    }
    /// A line of `ZX_JOB_POL_BASIC_V2`.
    PolicyBasicV2 = "zx_policy_basic_v2", 12 {
        /// What a process does: `ZX_POL_*`.
        condition: u32,
        /// What happens then: `ZX_POL_ACTION_*`.
        action: u32,
        /// Whether jobs below can change it: `ZX_POL_OVERRIDE_*`.
        flags: u32,
    }
    /// `ZX_JOB_POL_TIMER_SLACK`.
    PolicyTimerSlack = "zx_policy_timer_slack", 16 {
        /// By how much deadlines may be moved at least.
        min_slack: ZxDuration,
        /// In which direction: `ZX_TIMER_SLACK_*`.
        default_mode: u32,
        /// 0.
        padding1: u32,
    }
    /// `ZX_INFO_HANDLE_COUNT`.
    InfoHandleCount = "zx_info_handle_count", 4 {
        /// How many handles the object has.
        handle_count: u32,
    }
    /// When a thread's work is to be done, in nanoseconds.
    SchedDeadlineParams = "zx_sched_deadline_params", 24 {
        /// How long it takes at most.
        capacity: ZxDuration,
        /// By when it is to be done, from the beginning of its period.
        relative_deadline: ZxDuration,
        /// How often it comes.
        period: ZxDuration,
    }
    /// What a profile is to say.
    ProfileInfo = "zx_profile_info", 96 {
        /// What of the rest counts: `ZX_PROFILE_INFO_FLAG_*`.
        flags: u32,
        /// 0.
        padding1: [u8; 4],
        /// By the flags.
        competition: PriorityOrDeadline,
        /// The processors that a thread may run on.
        cpu_affinity_mask: CpuMask,
    }
    /// `ZX_INFO_MSI`.
    InfoMsi = "zx_info_msi", 24 {
        /// Where the device is to write.
        target_addr: u64,
        /// What it is to write for the first vector.
        target_data: u32,
        /// The first vector.
        base_irq_id: u32,
        /// How many there are.
        num_irq: u32,
        /// For how many of them there is an interrupt.
        interrupt_count: u32,
    }
    /// `ZX_INFO_BTI`.
    InfoBti = "zx_info_bti", 32 {
        /// Behind each address of a compressed pin so many bytes are in a row.
        minimum_contiguity: u64,
        /// The size of the device's address space in bytes.
        aspace_size: u64,
        /// How many times memory is pinned, in quarantine or not.
        pmo_count: u64,
        /// How many of those are in quarantine.
        quarantine_count: u64,
    }
    /// `ZX_INFO_VMO`. Sizes are in bytes. What is populated is committed: nothing is compressed.
    InfoVmo = "zx_info_vmo", 176 {
        /// Its identity.
        koid: ZxKoid,
        /// Its name.
        name: [CChar; 32],
        /// Its size.
        size_bytes: u64,
        /// What it is a child of, or 0.
        parent_koid: ZxKoid,
        /// How many children it has.
        num_children: usize,
        /// How many mappings.
        num_mappings: usize,
        /// In how many address spaces it is mapped.
        share_count: usize,
        /// What kind it is: `ZX_INFO_VMO_*`.
        flags: u32,
        /// 0.
        padding1: [u8; 4],
        /// Of its own or shared with others, in memory.
        committed_bytes: u64,
        /// The rights of the handle that it was found by.
        handle_rights: ZxRights,
        /// How it is cached: `ZX_CACHE_POLICY_*`.
        cache_policy: u32,
        /// What the kernel needs to keep it.
        metadata_bytes: u64,
        /// How often memory was reclaimed from it.
        committed_change_events: u64,
        /// As `committed_bytes`.
        populated_bytes: u64,
        /// In memory and not shared.
        committed_private_bytes: u64,
        /// As `committed_private_bytes`.
        populated_private_bytes: u64,
        /// In memory, each page divided by how many share it.
        committed_scaled_bytes: u64,
        /// As `committed_scaled_bytes`.
        populated_scaled_bytes: u64,
        /// What `committed_scaled_bytes` is too small by, in units of 2^-63.
        committed_fractional_scaled_bytes: u64,
        /// As `committed_fractional_scaled_bytes`.
        populated_fractional_scaled_bytes: u64,
    }
    /// A mapping, of `ZX_INFO_PROCESS_MAPS`. What is populated is committed: nothing is compressed.
    InfoMapsMapping = "zx_info_maps_mapping", 88 {
        /// `ZX_VM_PERM_*`.
        mmu_flags: ZxVmOption,
        /// 0.
        padding1: [u8; 4],
        /// What is mapped.
        vmo_koid: ZxKoid,
        /// From where on.
        vmo_offset: u64,
        /// In memory, of what is mapped.
        committed_bytes: usize,
        /// As `committed_bytes`.
        populated_bytes: usize,
        /// In memory and not shared with copies.
        committed_private_bytes: usize,
        /// As `committed_private_bytes`.
        populated_private_bytes: usize,
        /// In memory, each page divided by how many VMOs share it.
        committed_scaled_bytes: usize,
        /// As `committed_scaled_bytes`.
        populated_scaled_bytes: usize,
        /// What `committed_scaled_bytes` is too small by, in units of 2^-63.
        committed_fractional_scaled_bytes: u64,
        /// As `committed_fractional_scaled_bytes`.
        populated_fractional_scaled_bytes: u64,
    }
    /// `ZX_INFO_PROCESS_MAPS`, `ZX_INFO_VMAR_MAPS`: a node of an address space.
    InfoMaps = "zx_info_maps", 152 {
        /// Its name, if it has one.
        name: [CChar; 32],
        /// Its first address.
        base: ZxVaddr,
        /// Its length in bytes.
        size: usize,
        /// How many nodes it is in.
        depth: usize,
        /// What it is: `ZX_INFO_MAPS_TYPE_*`.
        r#type: u32,
        /// 0.
        padding1: [u8; 4],
        /// If it is a mapping.
        u: MapsUnion,
    }
    /// `ZX_INFO_TASK_STATS`.
    InfoTaskStats = "zx_info_task_stats", 40 {
        /// Mapped, in memory or not.
        mem_mapped_bytes: usize,
        /// In memory and nobody else's.
        mem_private_bytes: usize,
        /// In memory and shared.
        mem_shared_bytes: usize,
        /// Of that, this process's part.
        mem_scaled_shared_bytes: usize,
        /// What that is too small by, in units of 2^-63.
        mem_fractional_scaled_shared_bytes: u64,
    }
    /// `ZX_INFO_TASK_RUNTIME`.
    InfoTaskRuntime = "zx_info_task_runtime", 32 {
        /// For how long it ran.
        cpu_time: ZxDuration,
        /// 0, here and below: nobody measures it.
        queue_time: ZxDuration,
        /// 0.
        page_fault_time: ZxDuration,
        /// 0.
        lock_contention_time: ZxDuration,
    }
    /// `ZX_INFO_KMEM_STATS`. What is not commented on is 0: it is the kernel's own, in memory of the host, or nobody counts it.
    InfoKmemStats = "zx_info_kmem_stats", 152 {
        /// All memory for programs.
        total_bytes: u64,
        /// Of that, free.
        free_bytes: u64,
        /// Not counted.
        free_loaned_bytes: u64,
        /// Not counted.
        wired_bytes: u64,
        /// Not counted.
        total_heap_bytes: u64,
        /// Not counted.
        free_heap_bytes: u64,
        /// In VMOs.
        vmo_bytes: u64,
        /// Not counted.
        mmu_overhead_bytes: u64,
        /// Not counted.
        ipc_bytes: u64,
        /// Was in use, and is kept to be used again.
        cache_bytes: u64,
        /// Not counted.
        slab_bytes: u64,
        /// Nothing is compressed.
        zram_bytes: u64,
        /// Not counted.
        other_bytes: u64,
        /// In VMOs, and can be taken from them.
        vmo_reclaim_total_bytes: u64,
        /// Not counted.
        vmo_reclaim_newest_bytes: u64,
        /// Not counted.
        vmo_reclaim_oldest_bytes: u64,
        /// Not counted.
        vmo_reclaim_disabled_bytes: u64,
        /// Not counted.
        vmo_discardable_locked_bytes: u64,
        /// Not counted.
        vmo_discardable_unlocked_bytes: u64,
    }
    /// `ZX_INFO_INTERRUPT`.
    InfoInterrupt = "zx_info_interrupt", 4 {
        /// How it was made: `ZX_INTERRUPT_*`.
        options: u32,
    }
    /// `ZX_INFO_VMAR`.
    InfoVmar = "zx_info_vmar", 16 {
        /// Its first address.
        base: ZxVaddr,
        /// Its length in bytes.
        len: usize,
    }
}

/// A user packet's content as numbers of any size: four of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct UserWords(pub [u64; 4]);

impl CType for UserWords {
    fn declare(_: &str) -> String {
        "union { uint64_t u64[4]; uint32_t u32[8]; uint16_t u16[16]; uint8_t c8[32]; }".to_owned()
    }
}

/// What is in a packet: one of the `zx_packet_*` structures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct PacketPayload(pub [u64; 4]);

impl CType for PacketPayload {
    fn declare(_: &str) -> String {
        "union { zx_packet_user_t user; zx_packet_signal_t signal; zx_packet_interrupt_t interrupt; \
         zx_packet_page_request_t page_request; }"
            .to_owned()
    }
}

/// How a thread competes with others: a priority in the low half of the first word, or a `zx_sched_deadline_params_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct PriorityOrDeadline(pub [i64; 3]);

impl CType for PriorityOrDeadline {
    fn declare(_: &str) -> String {
        "union { struct { int32_t priority; uint8_t padding2[20]; }; \
         zx_sched_deadline_params_t deadline_params; }"
            .to_owned()
    }
}

/// What is known of a node of an address space by its type: only of a mapping is there more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct MapsUnion(pub InfoMapsMapping);

impl CType for MapsUnion {
    fn declare(name: &str) -> String {
        plain("union { zx_info_maps_mapping_t mapping; }", name)
    }
}
