package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

// maxPage is how many bytes of a list go into one entry of the store's metadata, which takes 64 KiB.
const maxPage = 48 << 10

// savePages writes a list into as many entries as it needs. A crash in between leaves the new list up to some page and the old one from there on.
func savePages[T any](ctx context.Context, meta queue.Metadata, prefix string, list []T) error {
	p := &pageWriter{ctx: ctx, meta: meta, prefix: prefix}
	for i := range list {
		if err := p.add(list[i]); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	return prunePages(ctx, meta, prefix, p.pages)
}

// loadPages reads the list. An error does not keep what can be read from being returned.
func loadPages[T any](ctx context.Context, meta queue.Metadata, prefix string) (list []T, err error) {
	var failed error
	err = meta.ListMeta(ctx, prefix, "", func(key string, value []byte) bool {
		var page []T
		if err := json.Unmarshal(value, &page); err != nil {
			failed = fmt.Errorf("entry %s: %w", key, err)
			return true
		}
		list = append(list, page...)
		return true
	})
	if err == nil {
		err = failed
	}
	return list, err
}

// pageWriter writes a list into entries of the store's metadata, as many to each as fit.
type pageWriter struct {
	ctx    context.Context
	meta   queue.Metadata
	prefix string

	page        []json.RawMessage
	size, pages int
}

func (p *pageWriter) add(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if p.size+len(raw) > maxPage {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.page, p.size = append(p.page, raw), p.size+len(raw)+1
	return nil
}

func (p *pageWriter) flush() error {
	if len(p.page) == 0 {
		return nil
	}
	value, err := json.Marshal(p.page)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if err := p.meta.PutMeta(p.ctx, fmt.Sprintf("%s%03d", p.prefix, p.pages), value); err != nil {
		return err
	}
	p.page, p.size = p.page[:0], 0
	p.pages++
	return nil
}

// prunePages removes the entries that an earlier and longer list had.
func prunePages(ctx context.Context, meta queue.Metadata, prefix string, pages int) error {
	var old []string
	first := fmt.Sprintf("%s%03d", prefix, pages)
	err := meta.ListMeta(ctx, prefix, "", func(key string, _ []byte) bool {
		if strings.Compare(key, first) >= 0 {
			old = append(old, key)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := meta.PutMeta(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// putChanged stores a value of its own, if another one is there. A nil value deletes.
func putChanged(ctx context.Context, meta queue.Metadata, key string, value []byte) error {
	old, err := meta.Meta(ctx, key)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	if bytes.Equal(old, value) {
		return nil
	}
	return meta.PutMeta(ctx, key, value)
}
