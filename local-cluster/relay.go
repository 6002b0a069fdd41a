package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// relay passes TCP connections on to the API server. The API server listens on the loopback address only; pods reach
// it through this, which listens on the Service address that every pod gets as KUBERNETES_SERVICE_HOST. That address
// lies on the cluster's own bridge, so neither kube-proxy nor a packet filter rule is needed.
func relay() int {
	if err := runRelay(); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		return 1
	}
	return 0
}

func runRelay() error {
	flags := flag.NewFlagSet("relay", flag.ExitOnError)
	from := flags.String("listen", "", "HOST:PORT to listen on")
	to := flags.String("to", "", "HOST:PORT to pass connections on to")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *from)
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go join(client, *to)
	}
}

// join copies both ways until either side has nothing more to say, and passes that on as a half-close.
func join(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return // the API server restarts: the client sees its connection closed and tries again
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { copyThenClose(server, client) })
	both.Go(func() { copyThenClose(client, server) })
	both.Wait()
}

func copyThenClose(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error is the end of the stream, too
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
