package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// backend is an application that takes everything and answers at once. It is as light as the client, for the same reason.
type backend struct {
	listener net.Listener
	received atomic.Int64
	arrived  func(id string, at time.Time) // nil: nobody asks
	hangs    bool                          // it takes a request and never answers

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	err   error
}

func startBackend(ctx context.Context, arrived func(id string, at time.Time)) (*backend, error) {
	return (&backend{arrived: arrived}).start(ctx)
}

func (b *backend) start(ctx context.Context) (*backend, error) {
	var lc net.ListenConfig
	var err error
	if b.listener, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	b.conns = map[net.Conn]struct{}{}
	b.wg.Go(b.accept)
	return b, nil
}

func (b *backend) url() string { return "http://" + b.listener.Addr().String() }

func (b *backend) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // it was closed
		}
		b.mu.Lock()
		b.conns[conn] = struct{}{}
		b.mu.Unlock()
		b.wg.Go(func() {
			err := b.serve(conn)
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.conns, conn)
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				b.err = errors.Join(b.err, err)
			}
			conn.Close()
		})
	}
}

var fine = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

// serve answers requests until the connection ends; its error, never nil, says how it ended.
func (b *backend) serve(conn net.Conn) error {
	if b.hangs {
		_, _ = io.Copy(io.Discard, conn) // until the other side has had enough, in whatever way
		return nil
	}
	in := bufio.NewReaderSize(conn, 8192)
	var id string
	header := func(name, value []byte) {
		if b.arrived != nil && len(name) == 17 && string(name) == "X-Github-Delivery" {
			id = string(value)
		}
	}
	for {
		if _, err := in.ReadSlice('\n'); err != nil {
			return err
		}
		length, err := readHeader(in, header)
		if err != nil {
			return fmt.Errorf("backend: %w", err)
		}
		if _, err := in.Discard(length); err != nil {
			return fmt.Errorf("backend: %w", err)
		}
		b.received.Add(1)
		if b.arrived != nil {
			b.arrived(id, time.Now())
		}
		if _, err := conn.Write(fine); err != nil {
			return fmt.Errorf("backend: %w", err)
		}
	}
}

// close ends the backend and returns what went wrong in it.
func (b *backend) close() error {
	err := b.listener.Close()
	b.mu.Lock()
	for conn := range b.conns {
		conn.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
	return errors.Join(err, b.err)
}
