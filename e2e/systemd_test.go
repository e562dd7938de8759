package e2e

import (
	"net"
	"os/exec"
	"testing"
)

// TestASocketOfSystemdIsServed passes a listening socket as systemd does: from descriptor 3 on, and for this process
// alone, which is why a shell sets LISTEN_PID and then becomes rollcall.
func TestASocketOfSystemdIsServed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	command := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" --web.systemd-socket`, rollcall)
	command.ExtraFiles = append(command.ExtraFiles, socket)
	p := startCommand(t, command)
	p.await(t, `msg="rollcall listens" address=`+listener.Addr().String())
	get(t, "http://"+listener.Addr().String()+"/-/ready")
	p.stop(t)
}
