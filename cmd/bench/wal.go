package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// wal is the ideal log: records are appended to one file, and whoever comes while a sync is under way shares the next one. It does
// nothing else, so no store that promises the same can be faster on the same disk.
type wal struct {
	file *os.File

	mu      sync.Mutex
	current *walGroup
	spare   []byte
	writing sync.Mutex // held by the group that writes
}

type walGroup struct {
	buf  []byte
	once sync.Once
	err  error
}

var walTable = crc32.MakeTable(crc32.Castagnoli)

func createWAL(dir string) (*wal, error) {
	f, err := os.Create(filepath.Join(dir, "wal"))
	if err != nil {
		return nil, fmt.Errorf("ideal log: %w", err)
	}
	return &wal{file: f, current: new(walGroup)}, nil
}

// append returns when the record is durable.
func (w *wal) append(record []byte) error {
	w.mu.Lock()
	g := w.current
	g.buf = binary.LittleEndian.AppendUint32(g.buf, uint32(len(record)))
	g.buf = binary.LittleEndian.AppendUint32(g.buf, crc32.Checksum(record, walTable))
	g.buf = append(g.buf, record...)
	w.mu.Unlock()
	g.once.Do(func() { g.err = w.write(g) })
	return g.err
}

// write is called by one of a group; the others wait for it.
func (w *wal) write(g *walGroup) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	w.current = &walGroup{buf: w.spare[:0]}
	w.spare = nil
	w.mu.Unlock()
	if _, err := w.file.Write(g.buf); err != nil {
		return fmt.Errorf("ideal log: %w", err)
	}
	if err := datasync(w.file); err != nil {
		return fmt.Errorf("ideal log: sync: %w", err)
	}
	w.mu.Lock()
	w.spare = g.buf
	w.mu.Unlock()
	return nil
}

func (w *wal) close() error { return errors.Join(w.file.Close(), os.Remove(w.file.Name())) }

// walLoad appends for a time from a number of writers.
func walLoad(dir string, writers, size int, d time.Duration) (*outcome, error) {
	w, err := createWAL(dir)
	if err != nil {
		return nil, err
	}
	out, err := write(writers, d, func(int) func() error {
		record := jsonBody(idForm, size)
		return func() error { return w.append(record) }
	})
	return out, errors.Join(err, w.close())
}

// write calls what newWriter makes, again and again for a time, from a number of goroutines, and counts and times the calls.
func write(writers int, d time.Duration, newWriter func(n int) func() error) (*outcome, error) {
	from := time.Now().Add(time.Duration(float64(d) * warmUp))
	until := from.Add(d)
	results, errs := make([]outcome, writers), make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		one := newWriter(i)
		wg.Go(func() {
			out := &results[i]
			for {
				start := time.Now()
				if errs[i] = one(); errs[i] != nil {
					return
				}
				end := time.Now()
				if end.After(until) {
					return
				}
				if !start.Before(from) {
					out.accepted++
					out.latency.add(end.Sub(start))
				}
			}
		})
	}
	wg.Wait()
	total := &outcome{took: d}
	for i := range results {
		total.accepted += results[i].accepted
		total.latency.merge(&results[i].latency)
	}
	return total, errors.Join(errs...)
}
