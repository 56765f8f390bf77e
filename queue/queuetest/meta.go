package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

var metaTests = []test{
	{"PutGetDelete", func(e *env) {
		m := optional[queue.Metadata](e)
		get := func(key string) []byte {
			e.Helper()
			v, err := m.Meta(e.Context(), key)
			e.must(err, "metadata "+key)
			return v
		}
		missing := func(key string) {
			e.Helper()
			if v, err := m.Meta(e.Context(), key); !errors.Is(err, queue.ErrNotFound) {
				e.Errorf("metadata %q: %q, %v, want %v", key, v, err, queue.ErrNotFound)
			}
		}
		missing("a")
		e.must(m.PutMeta(e.Context(), "a", []byte("1")), "put")
		e.must(m.PutMeta(e.Context(), "a", []byte("2\x00\xff")), "put")
		e.must(m.PutMeta(e.Context(), "ab", []byte{}), "put")
		if v := get("a"); string(v) != "2\x00\xff" {
			e.Errorf("value %q", v)
		}
		if v := get("ab"); len(v) != 0 {
			e.Errorf("value %q, want an empty one", v)
		}
		missing("abc")
		e.must(m.PutMeta(e.Context(), "a", nil), "delete")
		e.must(m.PutMeta(e.Context(), "a", nil), "delete what is not there")
		missing("a")
		get("ab")
	}},
	{"ValuesAreCopies", func(e *env) {
		m := optional[queue.Metadata](e)
		value := []byte("before")
		e.must(m.PutMeta(e.Context(), "k", value), "put")
		value[0] = 'X'
		got, err := m.Meta(e.Context(), "k")
		e.must(err, "metadata")
		got[1] = 'Y'
		if got, err = m.Meta(e.Context(), "k"); err != nil || string(got) != "before" {
			e.Errorf("value %q, %v", got, err)
		}
	}},
	{"Limits", func(e *env) {
		m := optional[queue.Metadata](e)
		key, value := strings.Repeat("k", 200), bytes.Repeat([]byte("v"), 64<<10)
		e.must(m.PutMeta(e.Context(), key, value), "put the largest")
		got, err := m.Meta(e.Context(), key)
		if err != nil || !bytes.Equal(got, value) {
			e.Errorf("the largest value came back with %d bytes, %v", len(got), err)
		}
		if m.PutMeta(e.Context(), key+"k", []byte("v")) == nil {
			e.Error("a key of 201 bytes was taken")
		}
		if m.PutMeta(e.Context(), "large", append(value, 'v')) == nil {
			e.Error("a value of 64 KiB and a byte was taken")
		}
		if m.PutMeta(e.Context(), "", []byte("v")) == nil {
			e.Error("an empty key was taken")
		}
	}},
	{"List", listMeta},
	{"ListMayUseTheStore", func(e *env) {
		m := optional[queue.Metadata](e)
		for i := range 5 {
			e.must(m.PutMeta(e.Context(), fmt.Sprint("k", i), []byte("v")), "put")
		}
		var listErr error
		e.must(m.ListMeta(e.Context(), "k", "", func(key string, _ []byte) bool {
			listErr = m.PutMeta(e.Context(), key, nil)
			return listErr == nil
		}), "list")
		e.must(listErr, "delete while listing")
		e.wantMeta("", "", 100)
	}},
	{"IsApartFromTheQueue", func(e *env) {
		m := optional[queue.Metadata](e)
		for _, key := range []string{"E", "Q", "src", dest, "1", "!"} {
			e.must(m.PutMeta(e.Context(), key, []byte(key)), "put")
		}
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		e.wantMeta("", "", 100, "!", "1", "E", "Q", dest, "src")
	}},
}

func listMeta(e *env) {
	m := optional[queue.Metadata](e)
	keys := []string{"paused/b", "paused/a", "pause", "paused0", "jobs/2", "jobs/10", "paused/c", "z"}
	for _, k := range keys {
		e.must(m.PutMeta(e.Context(), k, []byte("value of "+k)), "put")
	}
	e.wantMeta("", "", 100, "jobs/10", "jobs/2", "pause", "paused/a", "paused/b", "paused/c", "paused0", "z")
	e.wantMeta("paused/", "", 100, "paused/a", "paused/b", "paused/c")
	e.wantMeta("paused/", "", 2, "paused/a", "paused/b")
	e.wantMeta("paused/", "paused/a", 100, "paused/b", "paused/c")
	e.wantMeta("paused/", "paused/aa", 100, "paused/b", "paused/c")
	e.wantMeta("paused/", "paused/c", 100)
	e.wantMeta("paused/", "a", 1, "paused/a")
	e.wantMeta("paused/", "zzz", 100)
	e.wantMeta("nothing", "", 100)
	e.wantMeta("paused/b", "", 100, "paused/b")
}

// wantMeta lists at most n entries and checks their keys and values.
func (e *env) wantMeta(prefix, after string, n int, want ...string) {
	e.Helper()
	m := optional[queue.Metadata](e)
	var got []string
	e.must(m.ListMeta(e.Context(), prefix, after, func(key string, value []byte) bool {
		if v := string(value); v != "value of "+key && v != key {
			e.Errorf("%q has the value %q", key, v)
		}
		got = append(got, key)
		return len(got) < n
	}), "list")
	if !slices.Equal(got, want) {
		e.Errorf("prefix %q after %q: %q, want %q", prefix, after, got, want)
	}
}
