package caddymodule

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// TestClientThatDoesNotRead shows that a client which is suspended does not hold up the end of a configuration.
func TestClientThatDoesNotRead(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stream := &eventStream{w: newPatientWriter(w, ctx)}
		stream.comment("begun")
		close(begun)
		for stream.err == nil { // until nothing more fits between the two
			stream.send("news", make([]byte, 1<<20))
		}
		ended <- stream.err
	}))
	defer server.Close()
	client, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	leave()
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stream ended with %v", err)
	}
}
