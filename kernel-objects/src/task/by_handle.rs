//! Tasks as a process uses them: by handle values, whose rights say what it may do with them.

use std::sync::Arc;

use super::{
    exception::{Exception, HandlerKind, create_exception_channel},
    info::MapEntry,
    job::{Critical, Job},
    process::Process,
    suspend_token::SuspendToken,
    thread::Thread,
};
use crate::{
    error::{Error, Result},
    handle::{Handle, HandleTable, HandleValue},
    object::{KernelObject, Koid, downcast},
    rights::Rights,
};

impl HandleTable {
    /// The handle behind a value, once more: for what looks at the type and the rights itself.
    fn borrow(&self, value: HandleValue, rights: Rights) -> Result<Handle> {
        let (object, rights) = self.get_any_with_rights(value, rights)?;
        Ok(Handle::with_rights(object, rights))
    }

    /// As [`create_exception_channel`], through a handle (`zx_task_create_exception_channel`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], and those of [`create_exception_channel`].
    pub fn task_create_exception_channel(
        &self,
        task: HandleValue,
        kind: HandlerKind,
    ) -> Result<Handle> {
        create_exception_channel(&self.borrow(task, Rights::empty())?, kind)
    }

    /// A handle to a job's child or a process's thread, with these rights or those of the parent's handle
    /// (`zx_object_get_child`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::WrongType`] if it is no job or process; [`Error::AccessDenied`] without [`Rights::ENUMERATE`] or
    /// for rights that the parent's handle has not; [`Error::NotFound`] if there is no child with this koid.
    pub fn object_get_child(
        &self,
        parent: HandleValue,
        koid: Koid,
        rights: Rights,
    ) -> Result<Handle> {
        let parent = self.borrow(parent, Rights::empty())?;
        let child = || -> Result<Arc<dyn KernelObject>> {
            match parent.get::<Job>(Rights::ENUMERATE) {
                Err(Error::WrongType) => {
                    Ok(parent.get::<Process>(Rights::ENUMERATE)?.child(koid)?)
                }
                job => job?.child(koid),
            }
        };
        let child = child()?;
        let rights = parent.rights().reduce(rights).map_err(|_| Error::AccessDenied)?;
        Ok(Handle::with_rights(child, rights))
    }

    /// Suspends a thread or a process, on behalf of `caller`; returns the token (`zx_task_suspend`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::WrongType`] if it is no thread or process; [`Error::AccessDenied`] without [`Rights::WRITE`];
    /// [`Error::NotSupported`] if `caller` would be suspended, for it would never get the token; those of [`SuspendToken::create`].
    pub fn task_suspend(&self, caller: &Thread, task: HandleValue) -> Result<Handle> {
        let task = self.borrow(task, Rights::empty())?;
        let token = match task.get::<Thread>(Rights::WRITE) {
            Err(Error::WrongType) => {
                let process = task.get::<Process>(Rights::WRITE)?;
                if process.koid() == caller.process().koid() {
                    return Err(Error::NotSupported);
                }
                SuspendToken::create_for_process(&process)?
            }
            thread => {
                let thread = thread?;
                if thread.koid() == caller.koid() {
                    return Err(Error::NotSupported);
                }
                SuspendToken::create(&thread)?
            }
        };
        Ok(Handle::new(token))
    }

    /// The address space of another process, through a handle; see [`Process::maps`].
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::WrongType`]; [`Error::AccessDenied`] without [`Rights::INSPECT`] and [`Rights::READ`], and if it is
    /// the process of `caller`; [`Error::BadState`] if the process has no address space.
    pub fn process_maps(&self, caller: &Thread, process: HandleValue) -> Result<Vec<MapEntry>> {
        let process: Arc<Process> = self.get(process, Rights::INSPECT | Rights::READ)?;
        if process.koid() == caller.process().koid() {
            return Err(Error::AccessDenied);
        }
        process.maps()
    }

    /// Kills a job or a process (`zx_task_kill`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::WrongType`] if it is neither, for threads are not killed one by one; [`Error::AccessDenied`]
    /// without [`Rights::DESTROY`].
    pub fn task_kill(&self, task: HandleValue) -> Result {
        let task = self.borrow(task, Rights::empty())?;
        match task.get::<Job>(Rights::DESTROY) {
            Err(Error::WrongType) => task.get::<Process>(Rights::DESTROY)?.kill(),
            job => job?.kill(),
        }
        Ok(())
    }

    /// As [`Job::set_critical`], through handles (`zx_job_set_critical`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`]; [`Error::WrongType`]; [`Error::AccessDenied`] without [`Rights::DESTROY`] of the job or [`Rights::WAIT`] of
    /// the process; those of [`Job::set_critical`].
    pub fn job_set_critical(
        &self,
        job: HandleValue,
        critical: Critical,
        process: HandleValue,
    ) -> Result {
        let job: Arc<Job> = self.get(job, Rights::DESTROY)?;
        let process: Arc<Process> = self.get(process, Rights::WAIT)?;
        job.set_critical(critical, &process)
    }

    /// A handle to the thread of an exception (`zx_exception_get_thread`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], [`Error::WrongType`].
    pub fn exception_get_thread(&self, exception: HandleValue) -> Result<Handle> {
        let exception: Arc<Exception> = downcast(self.get_any(exception, Rights::empty())?)?;
        Ok(exception.get_thread())
    }

    /// A handle to the process of an exception (`zx_exception_get_process`).
    ///
    /// # Errors
    ///
    /// [`Error::BadHandle`], [`Error::WrongType`], and those of [`Exception::get_process`].
    pub fn exception_get_process(&self, exception: HandleValue) -> Result<Handle> {
        let exception: Arc<Exception> = downcast(self.get_any(exception, Rights::empty())?)?;
        exception.get_process()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::{
        super::{
            exception::tests::next,
            run::tests::{poll, started},
        },
        *,
    };
    use crate::{
        event::Event,
        object::ObjectType,
        signals::Signals,
        task::{ExceptionReport, PolicyCode, ThreadState},
    };

    const INVALID: HandleValue = HandleValue::INVALID;

    /// Handles to a job, a process in it and its thread, all with these rights less.
    struct Tasks {
        table: HandleTable,
        thread: Arc<Thread>,
    }

    impl Tasks {
        fn new() -> Self {
            let job = Job::root();
            let made = Process::create(&job, "").and_then(|process| Thread::create(&process, ""));
            let thread = made.unwrap_or_else(|error| panic!("{error}"));
            Tasks { table: HandleTable::new(), thread }
        }

        fn add(&self, object: Arc<dyn KernelObject>, without: Rights) -> HandleValue {
            let rights = object.default_rights() - without;
            self.table.insert(Handle::with_rights(object, rights)).unwrap_or(INVALID)
        }

        fn job(&self, without: Rights) -> HandleValue {
            self.add(self.thread.process().job().clone(), without)
        }

        fn process(&self, without: Rights) -> HandleValue {
            self.add(self.thread.process().clone(), without)
        }

        fn thread(&self, without: Rights) -> HandleValue {
            self.add(self.thread.clone(), without)
        }

        fn event(&self) -> HandleValue {
            self.add(Event::create(), Rights::empty())
        }
    }

    const NONE: Rights = Rights::empty();

    #[test]
    fn exception_channels_of_handles() {
        let tasks = Tasks::new();
        let create = |task| tasks.table.task_create_exception_channel(task, HandlerKind::Standard);
        assert_eq!(create(INVALID).err(), Some(Error::BadHandle));
        assert_eq!(create(tasks.event()).err(), Some(Error::WrongType));
        let denied = create(tasks.process(Rights::ENUMERATE)).err();
        assert_eq!(denied, Some(Error::AccessDenied));
        assert!(create(tasks.process(NONE)).is_ok());
    }

    #[test]
    fn children_are_found_with_the_rights_of_the_parents_handle_or_fewer() {
        let tasks = Tasks::new();
        let run = tasks.thread.process().start(&tasks.thread, pending());
        let get = |parent, koid, rights| tasks.table.object_get_child(parent, koid, rights);
        let process = tasks.thread.process().koid();
        let same = Rights::SAME_RIGHTS;
        let child = get(tasks.job(NONE), process, same).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(child.info().koid, process);
        assert_eq!(child.rights(), Rights::default_for(ObjectType::Job));
        let thread = tasks.thread.koid();
        let child = get(tasks.process(Rights::WRITE), thread, Rights::READ);
        let child = child.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((child.info().koid, child.rights()), (thread, Rights::READ));
        let error = |parent, koid, rights| get(parent, koid, rights).err();
        assert_eq!(error(INVALID, process, same), Some(Error::BadHandle));
        assert_eq!(error(tasks.thread(NONE), process, same), Some(Error::WrongType));
        let blind = [tasks.job(Rights::ENUMERATE), tasks.process(Rights::ENUMERATE)];
        assert_eq!(error(blind[0], process, same), Some(Error::AccessDenied));
        assert_eq!(error(blind[1], thread, same), Some(Error::AccessDenied));
        let weak = tasks.process(Rights::WRITE);
        assert_eq!(error(weak, thread, Rights::WRITE), Some(Error::AccessDenied));
        assert_eq!(error(tasks.job(NONE), thread, same), Some(Error::NotFound));
        assert_eq!(error(tasks.process(NONE), process, same), Some(Error::NotFound));
        drop(run);
    }

    #[test]
    fn a_task_is_suspended_as_long_as_the_token_has_a_handle() {
        let tasks = Tasks::new();
        let mut run = started(|_| pending());
        let caller = run.thread().clone();
        let suspend = |task| tasks.table.task_suspend(&caller, task);
        assert_eq!(suspend(INVALID).err(), Some(Error::BadHandle));
        assert_eq!(suspend(tasks.job(NONE)).err(), Some(Error::WrongType));
        for weak in [tasks.thread(Rights::WRITE), tasks.process(Rights::WRITE)] {
            assert_eq!(suspend(weak).err(), Some(Error::AccessDenied));
        }
        let own: [Arc<dyn KernelObject>; 2] = [caller.clone(), caller.process().clone()];
        for own in own {
            assert_eq!(suspend(tasks.add(own, NONE)).err(), Some(Error::NotSupported));
        }
        let tokens = [suspend(tasks.thread(NONE)), suspend(tasks.process(NONE))];
        let process = tasks.thread.process();
        let other = process.start(&tasks.thread, pending());
        let mut other = other.unwrap_or_else(|error| panic!("{error}"));
        for token in tokens {
            assert!(poll(&mut other).is_pending());
            assert_eq!(tasks.thread.info().state, ThreadState::Suspended);
            assert!(token.is_ok());
        }
        assert!(poll(&mut other).is_pending());
        assert_eq!(tasks.thread.info().state, ThreadState::Running);
        process.kill();
        assert_eq!(suspend(tasks.thread(NONE)).err(), Some(Error::BadState));
        assert_eq!(suspend(tasks.process(NONE)).err(), Some(Error::BadState));
        assert!(poll(&mut run).is_pending());
    }

    #[test]
    fn the_address_space_of_another_process_needs_rights() {
        let (tasks, caller) = (Tasks::new(), Tasks::new().thread);
        let maps = |process| tasks.table.process_maps(&caller, process).err();
        assert_eq!(maps(INVALID), Some(Error::BadHandle));
        assert_eq!(maps(tasks.thread(NONE)), Some(Error::WrongType));
        assert_eq!(maps(tasks.process(Rights::READ)), Some(Error::AccessDenied));
        assert_eq!(maps(tasks.process(Rights::INSPECT)), Some(Error::AccessDenied));
        let own = tasks.add(caller.process().clone(), NONE);
        assert_eq!(maps(own), Some(Error::AccessDenied));
        assert_eq!(maps(tasks.process(NONE)), Some(Error::BadState), "it has none");
    }

    #[test]
    fn jobs_and_processes_are_killed_but_no_thread() {
        let tasks = Tasks::new();
        let kill = |task| tasks.table.task_kill(task);
        assert_eq!(kill(INVALID), Err(Error::BadHandle));
        assert_eq!(kill(tasks.thread(NONE)), Err(Error::WrongType));
        assert_eq!(kill(tasks.process(Rights::DESTROY)), Err(Error::AccessDenied));
        assert_eq!(kill(tasks.job(Rights::DESTROY)), Err(Error::AccessDenied));
        let process = tasks.thread.process();
        assert!(!process.is_ending());
        assert_eq!(kill(tasks.process(NONE)), Ok(()));
        assert!(process.info().exited && !process.job().info().exited);
        assert_eq!(kill(tasks.job(NONE)), Ok(()));
        assert!(process.job().signals().contains(Signals::TASK_TERMINATED));
    }

    #[test]
    fn a_process_is_made_critical_through_handles_that_allow_it() {
        let tasks = Tasks::new();
        let set = |job, process| tasks.table.job_set_critical(job, Critical::Always, process);
        let (job, process) = (tasks.job(NONE), tasks.process(NONE));
        assert_eq!(set(INVALID, process), Err(Error::BadHandle));
        assert_eq!(set(job, INVALID), Err(Error::BadHandle));
        assert_eq!(set(process, process), Err(Error::WrongType));
        assert_eq!(set(job, job), Err(Error::WrongType));
        assert_eq!(set(tasks.job(Rights::DESTROY), process), Err(Error::AccessDenied));
        assert_eq!(set(job, tasks.process(Rights::WAIT)), Err(Error::AccessDenied));
        assert_eq!(set(job, process), Ok(()));
        assert_eq!(set(job, process), Err(Error::AlreadyBound));
        assert_eq!(Critical::from_options(0), Ok(Critical::Always));
        assert_eq!(Critical::from_options(1), Ok(Critical::RetcodeNonzero));
        assert_eq!(Critical::from_options(2), Err(Error::InvalidArgs));
    }

    #[test]
    fn an_exception_names_its_tasks() {
        let mut run = started(|thread| async move {
            thread.raise(ExceptionReport::policy(PolicyCode::BadSyscall, 0)).await;
        });
        let tasks = Tasks::new();
        let task = tasks.add(run.thread().process().clone(), NONE);
        let handler = tasks.table.task_create_exception_channel(task, HandlerKind::Standard);
        let handler = handler.unwrap_or_else(|error| panic!("{error}"));
        assert!(poll(&mut run).is_pending());
        let message = next(&handler).unwrap_or_else(|| panic!("no exception"));
        let exception = message.handles.into_iter().next();
        let exception = exception.and_then(|handle| tasks.table.insert(handle).ok());
        let exception = exception.unwrap_or(INVALID);
        let koid = |handle: Result<Handle>| handle.map(|handle| handle.info().koid);
        let (thread, process) = (run.thread().koid(), run.thread().process().koid());
        assert_eq!(koid(tasks.table.exception_get_thread(exception)), Ok(thread));
        assert_eq!(koid(tasks.table.exception_get_process(exception)), Ok(process));
        for (value, error) in [(INVALID, Error::BadHandle), (task, Error::WrongType)] {
            assert_eq!(koid(tasks.table.exception_get_thread(value)), Err(error));
            assert_eq!(koid(tasks.table.exception_get_process(value)), Err(error));
        }
    }
}
