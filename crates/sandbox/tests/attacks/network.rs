//! Calls to the outside: by IP, by sockets that are files, by sockets that have only a name, and by the kinds that nobody thinks of.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use sandbox::{Level, Network};

use crate::ground::{at_each_level, at_level, stdout};

const CALLS: &str = r#"
import os, socket, array
outside, tcp, udp, name = os.environ["OUTSIDE"], int(os.environ["TCP"]), int(os.environ["UDP"]), os.environ["NAME"]
def attempt(what, f):
    try:
        f()
    except OSError as e:
        print(what, "refused:", e)
        return
    print("THROUGH", what)
def call(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(1)
        s.connect(address)
        s.send(b"hello"); s.send(b"hello")
inet, inet6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
stream, dgram = socket.SOCK_STREAM, socket.SOCK_DGRAM
attempt("tcp", lambda: call(inet, stream, ("127.0.0.1", tcp)))
attempt("tcp by another name", lambda: call(inet, stream, ("127.1.2.3", tcp)))
attempt("tcp6", lambda: call(inet6, stream, ("::ffff:127.0.0.1", tcp)))
attempt("udp", lambda: call(inet, dgram, ("127.0.0.1", udp)))
attempt("the internet", lambda: call(inet, stream, ("192.0.2.1", 80)))
attempt("a name server", lambda: call(inet, dgram, ("192.0.2.1", 53)))
attempt("unix", lambda: call(unix, stream, outside + "/stream"))
attempt("unix datagram", lambda: call(unix, dgram, outside + "/datagram"))
attempt("abstract", lambda: call(unix, stream, "\0" + name))
attempt("abstract datagram", lambda: call(unix, dgram, "\0" + name + "d"))
def pair(address):
    a, b = socket.socketpair(unix, dgram)
    a.connect(address)
    a.send(b"hello")
def pair_to(address):
    a, b = socket.socketpair(unix, dgram)
    a.sendto(b"hello", address)
attempt("a turned pair", lambda: pair(outside + "/datagram"))
attempt("a turned abstract pair", lambda: pair("\0" + name + "d"))
attempt("a pair that sends elsewhere", lambda: pair_to(outside + "/datagram"))
attempt("a pair that sends elsewhere, abstract", lambda: pair_to("\0" + name + "d"))
attempt("raw", lambda: socket.socket(inet, socket.SOCK_RAW, 1))
attempt("packets", lambda: socket.socket(17, socket.SOCK_RAW, 0))
attempt("vsock", lambda: socket.socket(40, stream))
attempt("kernel crypto", lambda: socket.socket(38, 5))
attempt("bluetooth", lambda: socket.socket(31, 3))
attempt("audit", lambda: socket.socket(16, 3, 9))
a, b = socket.socketpair()
a.send(b"x"); assert b.recv(1) == b"x"
print("all tried")
"#;

/// Somebody to call, of each kind.
struct Listeners {
    tcp: TcpListener,
    udp: UdpSocket,
    streams: [UnixListener; 2],
    datagrams: [UnixDatagram; 2],
    name: String,
}

impl Listeners {
    fn beside(ground: &crate::ground::Ground<'_>) -> Self {
        let name = ground.at("name").to_string_lossy().into_owned();
        let at = |name: &str| SocketAddr::from_abstract_name(name).unwrap();
        let all = Self {
            tcp: TcpListener::bind("0.0.0.0:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            streams: [
                UnixListener::bind(ground.at("outside/stream")).unwrap(),
                UnixListener::bind_addr(&at(&name)).unwrap(),
            ],
            datagrams: [
                UnixDatagram::bind(ground.at("outside/datagram")).unwrap(),
                UnixDatagram::bind_addr(&at(&format!("{name}d"))).unwrap(),
            ],
            name,
        };
        all.tcp.set_nonblocking(true).unwrap();
        all.udp.set_nonblocking(true).unwrap();
        for stream in &all.streams {
            stream.set_nonblocking(true).unwrap();
        }
        for datagram in &all.datagrams {
            datagram.set_nonblocking(true).unwrap();
        }
        all
    }

    fn heard(&self) -> usize {
        let mut heard = usize::from(self.tcp.accept().is_ok());
        heard += usize::from(self.udp.recv(&mut [0; 9]).is_ok());
        heard += self.streams.iter().filter(|s| s.accept().is_ok()).count();
        let datagrams = self.datagrams.iter();
        heard + datagrams.filter(|d| d.recv(&mut [0; 9]).is_ok()).count()
    }

    fn tell(&self, job: &mut sandbox::Job) {
        let tcp = self.tcp.local_addr().unwrap().port().to_string();
        let udp = self.udp.local_addr().unwrap().port().to_string();
        let told = [("TCP", tcp), ("UDP", udp), ("NAME", self.name.clone())];
        for (name, value) in told {
            job.environment.insert(name.to_owned(), value);
        }
    }
}

#[test]
fn nobody_outside_is_called() {
    at_each_level(|ground| {
        let listeners = Listeners::beside(ground);
        let mut job = ground.python(CALLS);
        listeners.tell(&mut job);
        let breaches = ground.breaches(&job);
        assert!(breaches.is_empty(), "{breaches:#?}");
        assert_eq!(listeners.heard(), 0);
    });
}

#[test]
fn a_network_that_is_allowed_is_ip_alone() {
    at_each_level(|ground| {
        let listeners = Listeners::beside(ground);
        let mut job = ground.python(CALLS);
        job.network = Network::Host;
        listeners.tell(&mut job);
        let mut breaches = ground.breaches(&job);
        breaches.retain(|line| !line.starts_with("THROUGH tcp") && line != "THROUGH udp");
        breaches.retain(|line| !line.contains("internet") && !line.contains("name server"));
        assert!(breaches.is_empty(), "{breaches:#?}");
        let tcp_and_udp = 2;
        assert_eq!(listeners.heard(), tcp_and_udp);
    });
}

#[test]
fn a_loopback_of_its_own_reaches_itself() {
    const TALK: &str = "import socket\ns=socket.create_server(('127.0.0.1',0))\nc=socket.create_connection(s.getsockname())\nprint('talked')";
    at_level(Level::Bubblewrap, |ground| {
        let mut job = ground.python(TALK);
        job.network = Network::Loopback;
        assert_eq!(stdout(&ground.run(&job)), "talked\n");
    });
    at_level(Level::Landlock, |ground| {
        let mut job = ground.python(TALK);
        job.network = Network::Loopback;
        let refusal = ground.refused(&job).to_string();
        assert!(refusal.contains("loopback"), "{refusal}");
    });
}
