package port

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sinceArrival is how long ago the last bytes of a request arrived on conn, to the kernel's tick of a few
// milliseconds: the time that it waited for a processor. The kernel knows (tcpi_last_data_recv of tcp(7)); on a busy
// machine we read the bytes only later. 0 where it is not known.
func sinceArrival(conn net.Conn) time.Duration {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	var waited time.Duration
	err = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			waited = time.Duration(info.Last_data_recv) * time.Millisecond
		}
	})
	if err != nil {
		return 0
	}
	return waited
}
