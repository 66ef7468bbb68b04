//! There is no way out but the one that is given.

use std::io::{Read as _, Write as _};

use stead_ports::sandbox::{Boxes as _, End, WhenFull};

use crate::lab::{Lab, Tried as _, capture, text, told};

/// 33 to 37, 40: the host listens, and hears nothing; then a socket is granted, and through it comes what is sent, over many connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_way_out_is_the_socket_that_is_granted() {
    let lab = Lab::new();
    let (port, _, _) = lab.place().listening();
    let script = format!(
        "for a in 1.1.1.1 10.0.0.1 10.0.2.2 169.254.169.254 127.0.0.1; do echo x | nc -w 2 $a {port} && echo reached $a; done
         nslookup example.com 8.8.8.8 >/dev/null 2>&1 && echo resolved; ls /sys/class/net 2>/dev/null; sed 1,2d /proc/net/dev | cut -d: -f1
         cat /proc/net/route | wc -l
         echo hello | nc 127.0.0.1 3128; i=0; while [ $i -lt 20 ]; do echo $i | nc 127.0.0.1 3128; i=$((i+1)); done
         head -c 3000000 /dev/zero | nc 127.0.0.1 3128"
    );
    let mut spec = Lab::bare(&["sh", "-c", &script]);
    spec.egress = Some(3128);
    let mut running = lab.machines.start(spec, capture(WhenFull::Drop)).await.unwrap();
    let listener = running.egress.take().unwrap();
    listener.set_nonblocking(false).unwrap();
    let proxy = std::thread::spawn(move || {
        let mut sizes = Vec::new();
        for _ in 0..22 {
            let (mut connection, _) = listener.accept().unwrap();
            let mut said = Vec::new();
            let mut piece = [0; 65536];
            // A word ends with its line, the long one with its end.
            while !said.ends_with(b"\n") {
                let n = connection.read(&mut piece).unwrap();
                said.extend_from_slice(&piece[..n]);
                if n == 0 {
                    break;
                }
            }
            connection.write_all(format!("{} from outside\n", said.len()).as_bytes()).unwrap();
            sizes.push(said.len());
        }
        sizes
    });
    let outcome = running.end.await.unwrap();
    let said = text(&outcome.stdout.bytes);
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    assert!(!said.contains("reached") && !said.contains("resolved"), "{said}");
    let interfaces: Vec<_> = said.lines().map(str::trim).take_while(|line| *line != "1").collect();
    assert_eq!(interfaces, ["lo"], "{said}");
    assert_eq!(said.matches("from outside").count(), 22, "{said}");
    assert!(said.contains("\n6 from outside\n") && said.ends_with("3000000 from outside\n"), "{said}");
    assert_eq!(proxy.join().unwrap().len(), 22);
    lab.close().await;
}
