//! A real nats-server on a free port, with a store of its own, that tests may kill, stop and rob.

use super::super::Options;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(super) struct Server {
    directory: TempDir,
    port: u16,
    settings: String,
    process: Mutex<Option<Child>>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With more settings in its `jetstream` block.
    pub fn start_with(settings: &str) -> Self {
        let port = free_port();
        let directory = tempfile::tempdir().unwrap();
        let server = Self { directory, port, settings: settings.into(), process: Mutex::default() };
        server.resurrect();
        server
    }

    pub fn options(&self) -> Options {
        let mut options = Options::new(format!("nats://127.0.0.1:{}", self.port));
        options.ack_timeout = Duration::from_millis(500);
        options.request_timeout = Duration::from_secs(2);
        options
    }

    /// Starts it again on the same port and store.
    pub fn resurrect(&self) {
        self.run(self.port, &format!("jetstream {{ store_dir: {:?}\n{} }}", self.store(), self.settings));
    }

    /// The same, but it knows nothing of streams: publishing finds no responder.
    pub fn resurrect_without_streams(&self) {
        self.run(self.port, "");
    }

    /// The store under another port, where no log of the test finds it.
    pub fn resurrect_elsewhere(&self) -> u16 {
        let port = free_port();
        self.run(port, &format!("jetstream {{ store_dir: {:?} }}", self.store()));
        port
    }

    pub fn kill(&self) {
        let mut child = self.process().take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Lets it write everything first.
    pub fn shut_down(&self) {
        self.signal(Signal::TERM);
        self.process().take().unwrap().wait().unwrap();
    }

    /// It neither answers nor closes: as if the line were cut.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// A copy of the store; the server must be shut down.
    pub fn save(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_all(&self.store(), copy.path());
        copy
    }

    /// Puts an older store back; the server must be shut down.
    pub fn restore(&self, saved: &TempDir) {
        fs::remove_dir_all(self.store()).unwrap();
        copy_all(saved.path(), &self.store());
    }

    pub fn publish(&self, subject: &'static str, text: &'static str) {
        self.with_jetstream(self.port, async move |context| {
            context.publish(subject, text.into()).await.unwrap().await.unwrap();
        });
    }

    /// Runs something of the test with a client of its own.
    pub fn with_jetstream<T>(
        &self,
        port: u16,
        run: impl AsyncFnOnce(async_nats::jetstream::Context) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = async_nats::connect(format!("127.0.0.1:{port}")).await.unwrap();
            run(async_nats::jetstream::new(client)).await
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn run(&self, port: u16, jetstream: &str) {
        let settings = self.directory.path().join("server.conf");
        fs::write(&settings, format!("listen: \"127.0.0.1:{port}\"\n{jetstream}\n")).unwrap();
        let log = fs::File::create(self.directory.path().join("server.log")).unwrap();
        let binary = env::var_os("PAVLOV_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let mut command = Command::new(&binary);
        command.arg("-c").arg(&settings).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {binary:?} (set PAVLOV_NATS_SERVER or put nats-server on PATH): {error}")
        });
        assert!(self.process().replace(child).is_none(), "the one before still runs");
        let limit = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let exited = self.process().as_mut().unwrap().try_wait().unwrap();
            let log = || fs::read_to_string(self.directory.path().join("server.log")).unwrap();
            assert!(
                exited.is_none() && Instant::now() < limit,
                "nats-server does not listen: {exited:?} {}",
                log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.process().as_ref().unwrap()), signal).unwrap();
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_all(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}
