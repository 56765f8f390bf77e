package caddymodule

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// firstOf makes one attempt at an address and returns its record, or the last one of so many.
func firstOf(t *testing.T, options string) (queue.Delivery, []queue.Attempt) {
	t.Helper()
	g := startGateway(t, "destination d {\n breaker off\n "+options+"\n}", "webhook stripe {\n secret "+testSecret+"\n forward d\n}")
	sendStripe(t, g, "/")
	return onlyDelivery(t, "d", settled)
}

// takeRequest reads a whole request.
func takeRequest(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// TestFaultyApplications makes attempts at applications that break in the ways of real ones; the attempt's record says in which.
func TestFaultyApplications(t *testing.T) {
	const timeout = 400 * time.Millisecond
	trickle := func(c net.Conn, head, piece string) {
		takeRequest(c)
		fmt.Fprint(c, head)
		for { // until the gateway has had enough
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
			if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
				return
			}
		}
	}
	slowly := func(c net.Conn) net.Conn { return &impatientConn{Conn: c, every: 20 * time.Millisecond} }
	for name, c := range map[string]struct {
		serve  func(net.Conn)
		class  string
		status int
		state  queue.State
	}{
		"accepts and hangs":    {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "timeout", 0, queue.StateDead},
		"header that trickles": {func(c net.Conn) { trickle(slowly(c), "HTTP/1.1 200 OK\r\n", "X-More: 1\r\n") }, "timeout", 0, queue.StateDead},
		"body that trickles":   {func(c net.Conn) { trickle(slowly(c), "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "x") }, "timeout", 200, queue.StateDead},
		"reset in the answer's body": {func(c net.Conn) {
			takeRequest(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			rst(c)
		}, "truncated", 200, queue.StateDead},
		"chunks without an end": {func(c net.Conn) {
			takeRequest(c)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		}, "truncated", 200, queue.StateDead},
		"reset before the answer":  {func(c net.Conn) { takeRequest(c); rst(c) }, "reset", 0, queue.StateDead},
		"closed before the answer": {func(c net.Conn) { takeRequest(c) }, "reset", 0, queue.StateDead},
		"no HTTP at all":           {func(c net.Conn) { takeRequest(c); fmt.Fprint(c, "220 mail.example.com ESMTP\r\n\r\n") }, "protocol", 0, queue.StateDead},
		"storm of 1xx, then 200": {func(c net.Conn) {
			takeRequest(c)
			fmt.Fprint(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 200)+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}, "", 200, queue.StateDelivered},
		"1xx for ever": {func(c net.Conn) { trickle(slowly(c), "", "HTTP/1.1 103 Early Hints\r\n\r\n") }, "timeout", 0, queue.StateDead},
		"redirect": {func(c net.Conn) {
			takeRequest(c)
			fmt.Fprint(c, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
		}, "redirect", 307, queue.StateDead},
		"error": {func(c net.Conn) { takeRequest(c); fmt.Fprint(c, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") }, "status", 500, queue.StateDead},
	} {
		t.Run(name, func(t *testing.T) {
			address := faultyServer(t, func(conn net.Conn) {
				defer conn.Close()
				c.serve(conn)
			})
			d, attempts := firstOf(t, fmt.Sprintf("to %s\n retry none\n timeout %s", address, timeout))
			if len(attempts) != 1 || attempts[0].Class != c.class || attempts[0].Status != c.status || d.State != c.state {
				t.Errorf("%s after %+v, want class %q and status %d", d.State, attempts, c.class, c.status)
			}
		})
	}
}

// impatientConn is a connection whose reads end soon, so that who serves it can write again.
type impatientConn struct {
	net.Conn
	every time.Duration
}

func (c *impatientConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.every)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// rst closes a connection with a RST.
func rst(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0) // without it the test fails
	c.Close()
}

// TestIdleConnectionClosedInTheRace lets the application close each connection after its first answer without saying so, as servers do whose keep-alive ends: a
// delivery that meets such a connection is not lost.
func TestIdleConnectionClosedInTheRace(t *testing.T) {
	address := faultyServer(t, func(c net.Conn) {
		takeRequest(c)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // the last one has no successor
		_, _ = c.Read(make([]byte, 1))                         // the next request comes, and nobody takes it
		rst(c)
	})
	g := startGateway(t, "destination d {\n to "+address+"\n retry exponential 10ms 10ms\n breaker off\n concurrency 1\n}",
		"webhook stripe {\n secret "+testSecret+"\n dedup off\n forward d\n}")
	const events = 6
	for range events {
		sendStripe(t, g, "/")
	}
	eventually(t, "deliveries", func() bool {
		page, err := runningStore(t).Events(t.Context(), queue.Filter{States: []queue.State{queue.StateDelivered}})
		return err == nil && len(page.Events) == events
	})
	stats, err := runningStore(t).Stats(t.Context())
	if err != nil || stats.Destinations["d"].Dead != 0 {
		t.Errorf("%+v %v", stats, err)
	}
}

// certificate makes a certificate for a name that is valid between two times, and the file of the authority that signed it: itself.
func certificate(t *testing.T, name string, from, until time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLSFailuresAreToldApart(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		host        string
		from, until time.Duration
		trusted     bool
		text        string
	}{
		"good":        {"localhost", -time.Hour, time.Hour, true, ""},
		"expired":     {"localhost", -2 * time.Hour, -time.Hour, true, "expired or is not yet valid"},
		"not yet":     {"localhost", time.Hour, 2 * time.Hour, true, "expired or is not yet valid"},
		"other host":  {"elsewhere.example", -time.Hour, time.Hour, true, "not trusted"},
		"not trusted": {"localhost", -time.Hour, time.Hour, false, "not trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			cert, ca := certificate(t, c.host, now.Add(c.from), now.Add(c.until))
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{
				Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
				ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
			}
			served := make(chan error, 1)
			go func() { served <- server.ServeTLS(l, "", "") }()
			t.Cleanup(func() {
				if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
				<-served
			})
			trust := ""
			if c.trusted {
				trust = "tls_trust_pool file " + ca
			}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			d, attempts := firstOf(t, fmt.Sprintf("to https://localhost:%s\n retry none\n proxy {\n transport http {\n tls\n %s\n }\n }", port, trust))
			if c.text == "" {
				if d.State != queue.StateDelivered {
					t.Errorf("%s after %+v", d.State, attempts)
				}
				return
			}
			if d.State != queue.StateDead || len(attempts) != 1 || attempts[0].Class != "tls" || !strings.Contains(attempts[0].Error, c.text) {
				t.Errorf("%s after %+v, want %q", d.State, attempts, c.text)
			}
		})
	}
}

// TestApplicationThatWantsACertificate has attempts end by the application's alert, which comes when the handshake is over on our side.
func TestApplicationThatWantsACertificate(t *testing.T) {
	cert, ca := certificate(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	// Over HTTP/2 it depends on who is first whether the alert is seen, or only that the connection is gone.
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"http/1.1"}}
	address := faultyServer(t, func(c net.Conn) {
		defer c.Close()
		if err := tls.Server(c, config).HandshakeContext(t.Context()); err == nil {
			t.Error("handshake succeeded")
		}
		_, _ = io.Copy(io.Discard, c) // what we have not read would make a reset of the end
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	_, attempts := firstOf(t, fmt.Sprintf("to https://localhost:%s\n retry none\n proxy {\n transport http {\n tls\n tls_trust_pool file %s\n }\n }", port, ca))
	if len(attempts) != 1 || attempts[0].Class != "tls" || !strings.Contains(attempts[0].Error, "certificate required") {
		t.Errorf("%+v", attempts)
	}
}
