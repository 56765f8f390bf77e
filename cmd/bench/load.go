package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// client is one keep-alive connection. It is as light as it can be, because it runs on the cores that it measures.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 4096)}, nil
}

// answerTimeout is when an answer is given up.
const answerTimeout = 30 * time.Second

// do sends a request and returns the status of the answer.
func (c *client) do(raw []byte) (int, error) {
	if _, err := c.conn.Write(raw); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("read answer: %q is no status line", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, fmt.Errorf("read answer: status: %w", err)
	}
	length, err := readHeader(c.in, nil)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	if _, err := c.in.Discard(length); err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	return status, nil
}

var errChunked = errors.New("the body has no announced length, which this program does not read")

// readHeader reads header lines up to the empty one and returns the length of the body. It hands each line to each.
func readHeader(in *bufio.Reader, each func(name, value []byte)) (length int, err error) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, fmt.Errorf("content length: %w", err)
			}
		case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, errChunked
		}
		if each != nil {
			each(name, value)
		}
	}
}

// load is requests from a number of connections, each of which sends the next one when it has the answer.
type load struct {
	addr  string
	path  string
	conns int
	size  int
	time  time.Duration // what is measured; 0: until count are accepted
	count int64
}

// outcome is what a load has seen.
type outcome struct {
	accepted int64
	refused  int64
	took     time.Duration
	latency  histogram
}

func (o *outcome) rate() float64 { return float64(o.accepted) / o.took.Seconds() }

// warmUp is the part of a measurement's time that passes before it.
const warmUp = 0.15

// run makes the load. Answers within the warm-up do not count; neither do requests that are under way at the end.
func (l *load) run(ctx context.Context) (*outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from := time.Now().Add(time.Duration(float64(l.time) * warmUp))
	until := from.Add(l.time)
	if l.time == 0 {
		until = time.Now().Add(time.Hour)
	}
	var left atomic.Int64
	left.Store(l.count)
	results, errs := make([]outcome, l.conns), make([]error, l.conns)
	var wg sync.WaitGroup
	for i := range l.conns {
		wg.Go(func() {
			if errs[i] = l.connection(ctx, &results[i], from, until, &left); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	total := &outcome{took: l.time}
	if l.time == 0 {
		total.took = time.Since(from)
	}
	for i := range results {
		total.accepted += results[i].accepted
		total.refused += results[i].refused
		total.latency.merge(&results[i].latency)
	}
	return total, errors.Join(errs...)
}

func (l *load) connection(ctx context.Context, out *outcome, from, until time.Time, left *atomic.Int64) error {
	c, err := dial(ctx, l.addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.conn.SetDeadline(until.Add(answerTimeout)); err != nil {
		return err
	}
	q := newRequest(l.addr, l.path, l.size)
	for ctx.Err() == nil && (l.count == 0 || left.Add(-1) >= 0) {
		raw := q.make()
		start := time.Now()
		status, err := c.do(raw)
		end := time.Now()
		switch {
		case err != nil:
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("the server closed a connection: %w", err)
			}
			return err
		case end.After(until):
			return nil
		case status < 200 || status > 299:
			out.refused++
		case !start.Before(from):
			out.accepted++
			out.latency.add(end.Sub(start))
		}
	}
	return ctx.Err()
}
