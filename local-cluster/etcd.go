package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcd runs one member that only processes with access to its folder can reach: it listens on Unix sockets alone.
// The embedded server instead of etcd's own main, because that would bring proxies and gateways to compile.
func etcd() int {
	if err := runEtcd(); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
	return 0
}

func runEtcd() error {
	flags := flag.NewFlagSet("etcd", flag.ExitOnError)
	data := flags.String("data-dir", "", "folder of the database")
	client := flags.String("client-url", "", "address for clients, such as unix:///run/etcd.sock")
	peer := flags.String("peer-url", "", "address for other members; there are none, but etcd wants one")
	noFsync := flags.Bool("unsafe-no-fsync", false, "do not wait for the disk: fast, and lost in a power cut")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	clientURL, err := url.Parse(*client)
	if err != nil {
		return err
	}
	peerURL, err := url.Parse(*peer)
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = *data
	config.LogLevel = "warn"
	config.UnsafeNoFsync = *noFsync
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.QuotaBackendBytes = 8 << 30
	config.AutoCompactionMode, config.AutoCompactionRetention = embed.CompactorModePeriodic, "5m"
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case err := <-server.Err():
		return err
	case <-server.Server.StopNotify():
		return errors.New("stopped by itself")
	case <-stop:
		return nil
	}
}
