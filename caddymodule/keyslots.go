package caddymodule

import (
	"context"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

// keySlots bounds the calls at a time, of all hosts and of each: one that is slow holds up no other.
type keySlots struct {
	all chan struct{}

	mu    sync.Mutex
	hosts *lru.Cache[string, chan struct{}]
}

func newKeyCache[V any]() *lru.Cache[string, V] {
	cache, err := lru.New[string, V](maxKeyCache)
	if err != nil { // only a size that is not positive fails
		panic(err)
	}
	return cache
}

func newKeySlots() *keySlots {
	return &keySlots{all: make(chan struct{}, maxKeyFetches), hosts: newKeyCache[chan struct{}]()}
}

// enter waits for a slot of the host, and then for one of all. leave gives them back.
func (s *keySlots) enter(ctx context.Context, host string) (leave func(), err error) {
	own := s.of(host)
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case s.all <- struct{}{}:
		return func() { <-s.all; <-own }, nil
	case <-ctx.Done():
		<-own
		return nil, ctx.Err()
	}
}

func (s *keySlots) of(host string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, ok := s.hosts.Get(host)
	if !ok {
		own = make(chan struct{}, maxHostFetches)
		s.hosts.Add(host, own)
	}
	return own
}

// addToShare adds a document, in the place of the oldest of its host where that has its share of the cache.
func addToShare(cache *lru.Cache[string, *keyDocument], rawURL string, d *keyDocument) {
	var same []string
	for _, key := range cache.Keys() { // oldest first
		if other, ok := cache.Peek(key); ok && other.host == d.host && key != rawURL {
			same = append(same, key)
		}
	}
	if len(same) >= maxHostCache {
		cache.Remove(same[0])
	}
	cache.Add(rawURL, d)
}
