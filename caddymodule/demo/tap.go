package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/sluice-webhooks/sluice/caddymodule/sandbox"
)

// entry is a line of the gateway's structured log, with the fields that the story needs.
type entry struct {
	Level       string  `json:"level"`
	Logger      string  `json:"logger"`
	Message     string  `json:"msg"`
	Source      string  `json:"source"`
	Destination string  `json:"destination"`
	Event       string  `json:"event"`    // the gateway's id
	EventID     string  `json:"event_id"` // the provider's
	Type        string  `json:"type"`
	Reason      string  `json:"reason"`
	Error       string  `json:"error"`
	Class       string  `json:"class"`
	From        string  `json:"from"`
	To          string  `json:"to"`
	Status      int     `json:"status"`
	Attempt     int     `json:"attempt"`
	Attempts    int     `json:"attempts"`
	Deliveries  int     `json:"deliveries"`
	Age         float64 `json:"age"`  // seconds
	Next        float64 `json:"next"` // seconds since 1970
}

// The messages of the log that the story is told from.
const (
	msgAccepted  = "event accepted"
	msgDuplicate = "duplicate event"
	msgRefused   = "request was refused"
	msgNotStored = "request was not stored"
	msgFailed    = "attempt failed"
	msgDelivered = "delivered"
	msgDead      = "delivery is dead"
	msgBreaker   = "breaker changed"
)

// tap is where the gateway sends its log to: a socket of this process.
type tap struct {
	address  string
	listener net.Listener
	handle   func(*entry)
	readers  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	err   error
}

func startTap(ctx context.Context, handle func(*entry)) (*tap, error) {
	l, err := sandbox.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("listening for the gateway's log: %w", err)
	}
	t := &tap{address: l.Addr().String(), listener: l, handle: handle, conns: make(map[net.Conn]bool)}
	t.readers.Go(t.accept)
	return t, nil
}

func (t *tap) accept() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.fail(err)
			}
			return
		}
		t.mu.Lock()
		t.conns[conn] = true
		t.mu.Unlock()
		t.readers.Go(func() { t.read(conn) })
	}
}

const maxLogLine = 1 << 20

func (t *tap) read(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4096), maxLogLine)
	for lines.Scan() {
		e := new(entry)
		if err := json.Unmarshal(lines.Bytes(), e); err != nil {
			t.fail(fmt.Errorf("line of the log cannot be read: %w", err))
			continue
		}
		t.handle(e)
	}
	if err := lines.Err(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.fail(err)
	}
	_ = conn.Close() // nothing was written to it
}

func (t *tap) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = errors.Join(t.err, err)
}

// stop ends the reading. An error means that a part of the log was lost.
func (t *tap) stop() error {
	closing := t.listener.Close()
	t.mu.Lock()
	for conn := range t.conns {
		_ = conn.Close() // its reader may have closed it
	}
	t.mu.Unlock()
	t.readers.Wait()
	if err := errors.Join(closing, t.err); err != nil {
		return fmt.Errorf("the gateway's log: %w", err)
	}
	return nil
}
