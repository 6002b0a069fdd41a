package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A year outlives every local cluster; an hour back forgives a clock that was just set.
const (
	certificateLife = 365 * 24 * time.Hour
	clockSkew       = time.Hour
)

// pki writes the cluster's certificates, so that no other tool need be installed for it.
//
//	pki -dir DIR -serve NAME=HOST,… -client NAME=USER[=GROUP]
//
// DIR gets ca.{crt,key}, sa.{key,pub} (they sign the service accounts' tokens) and NAME.{crt,key} for every other.
func pki() int {
	if err := writePKI(); err != nil {
		fmt.Fprintln(os.Stderr, "pki:", err)
		return 1
	}
	return 0
}

func writePKI() error {
	var serving, clients []string
	flags := flag.NewFlagSet("pki", flag.ExitOnError)
	directory := flags.String("dir", "", "folder to write to")
	flags.Func("serve", "NAME=HOST,…: a serving certificate for these host names and addresses", appendTo(&serving))
	flags.Func("client", "NAME=USER[=GROUP]: a client certificate for this user", appendTo(&clients))
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	authority, err := newAuthority(*directory)
	if err != nil {
		return err
	}
	for _, wanted := range serving {
		name, hosts, _ := strings.Cut(wanted, "=")
		if err := authority.issue(name, servingTemplate(name, strings.Split(hosts, ","))); err != nil {
			return err
		}
	}
	for _, wanted := range clients {
		parts := strings.Split(wanted, "=")
		subject := pkix.Name{CommonName: parts[1], Organization: parts[2:]}
		template := &x509.Certificate{Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if err := authority.issue(parts[0], template); err != nil {
			return err
		}
	}
	return writeServiceAccountKeys(*directory)
}

func appendTo(values *[]string) func(string) error {
	return func(value string) error {
		*values = append(*values, value)
		return nil
	}
}

func servingTemplate(name string, hosts []string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

// authority signs everything in one cluster: one CA for servers and clients is enough for one machine.
type authority struct {
	directory   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(directory string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "taskq-local-cluster"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	result := &authority{directory: directory, certificate: template, key: key}
	return result, result.write("ca", template, key)
}

func (a *authority) issue(name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return a.write(name, template, key)
}

func (a *authority) write(name string, template *x509.Certificate, key *ecdsa.PrivateKey) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-clockSkew)
	template.NotAfter = time.Now().Add(certificateLife)
	signed, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(a.directory, name+".crt"), "CERTIFICATE", signed); err != nil {
		return err
	}
	return writeKey(filepath.Join(a.directory, name+".key"), key)
}

func writeServiceAccountKeys(directory string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(directory, "sa.pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeKey(filepath.Join(directory, "sa.key"), key)
}

func writeKey(path string, key crypto.PrivateKey) error {
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", encoded)
}

func writePEM(path, kind string, content []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}
