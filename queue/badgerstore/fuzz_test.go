package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// fuzzJournal is a journal of one segment with some groups of commits, and the bytes of that segment.
func fuzzJournal(f *testing.F, direct bool) (*journalRig, string, []byte) {
	r := newJournalRig(f, Options{}, direct)
	f.Cleanup(func() {
		if err := r.j.close(0); err != nil {
			f.Error(err)
		}
	})
	r.mustWrite(60, 1)
	r.mustWrite(200, 2, 1, 3)
	r.mustWrite(40, 1, 1)
	r.mustWrite(700, 4)
	paths, err := r.fs.List(journalDir, journalPattern)
	if err != nil || len(paths) != 1 {
		f.Fatalf("%q, %v", paths, err)
	}
	return r, paths[0], r.fs.copy().files[paths[0]].data[:24<<10]
}

// alone returns a file system with one segment.
func alone(path string, data []byte) *memFS {
	m := newMemFS(false)
	m.files[path] = &memFile{fs: m, path: path, data: data, dirty: map[int]bool{}}
	return m
}

// FuzzJournalDamage changes bytes of a segment: 4 bytes say where, one what. Whatever they are, events come out with their own bytes, in whole commits,
// without a gap; and what is missing at the end is damage unless nothing behind it is intact, which is how a write looks that was never finished.
func FuzzJournalDamage(f *testing.F) {
	cached, path, cachedData := fuzzJournal(f, false)
	direct, _, directData := fuzzJournal(f, true)
	at := func(off uint32, xor byte) []byte { return append(binary.BigEndian.AppendUint32(nil, off), xor) }
	f.Add([]byte{}, uint8(0))
	f.Add(at(9, 1), uint8(0))                                                      // the header
	f.Add(at(segmentHeader, 0x80), uint8(0))                                       // a length
	f.Add(at(segmentHeader+4, 1), uint8(1))                                        // a checksum of what is applied
	f.Add(at(segmentHeader+100, 1), uint8(0))                                      // the second frame
	f.Add(append(at(segmentHeader+24, 7), at(segmentHeader+2000, 1)...), uint8(3)) // two places
	f.Add(at(3*segmentHeader-8, 1), uint8(128))                                    // a gap
	f.Add(at(3*segmentHeader, 1), uint8(128))                                      // a frame behind one
	f.Add(at(2*segmentHeader+4, 1), uint8(130))
	f.Fuzz(func(t *testing.T, changes []byte, which uint8) {
		r, data, applied := *cached, slices.Clone(cachedData), which&127
		if which > 127 {
			r, data = *direct, slices.Clone(directData)
		}
		r.TB = t
		for ; len(changes) >= 5; changes = changes[5:] {
			data[int(binary.BigEndian.Uint32(changes))%len(data)] ^= changes[4]
		}
		if uint64(applied) >= r.next {
			return
		}
		got, last, _, err := r.read(alone(path, data), uint64(applied))
		if err != nil {
			if !errors.Is(err, queue.ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Fatalf("%v, want %v", err, queue.ErrDamaged)
			}
			return
		}
		for seq, rec := range got {
			if !bytes.Equal(rec, r.want[seq]) {
				t.Fatalf("event %d is %.40q, want %.40q", seq, rec, r.want[seq])
			}
		}
		if uint64(len(got)) != last-uint64(applied) {
			t.Fatalf("%d events after %d up to %d", len(got), applied, last)
		}
		if ends := slices.ContainsFunc(r.commits, func(c [2]uint64) bool { return c[1] == last }); !ends && last != uint64(applied) {
			t.Fatalf("half a commit: the last event is %d of %v", last, r.commits)
		}
	})
}

// FuzzJournal reads any bytes as a segment behind a header that is right, and any bytes as a whole one. They are read or refused.
func FuzzJournal(f *testing.F) {
	_, _, data := fuzzJournal(f, false)
	_, _, direct := fuzzJournal(f, true)
	f.Add(direct, true)
	f.Add(data, true)
	f.Add(data[segmentHeader:], false)
	f.Add(data[:segmentHeader-1], true)
	f.Add([]byte{}, true)
	f.Add(bytes.Repeat([]byte{0xff}, 200), false)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		info := segmentInfo{gen: 1, base: 1, direct: len(data)%2 == 1}
		if !whole {
			data = append(info.encode(), data...)
		}
		last := uint64(0)
		_, _, err := replayJournal(alone(segmentPath(journalDir, 1), data), journalDir, nil, 0, func(seq uint64, rec []byte) error {
			if seq != last+1 {
				t.Errorf("event %d after %d", seq, last)
			}
			last = seq
			// What fits its frame may still be no event.
			if _, err := decodeEvent(rec, seq, true); err != nil && !errors.Is(err, queue.ErrDamaged) {
				t.Error(err)
			}
			return nil
		})
		if err != nil && !errors.Is(err, queue.ErrDamaged) && !errors.Is(err, ErrFormat) && !bytes.Contains([]byte(err.Error()), []byte("encrypt")) {
			t.Errorf("%v, want %v", err, queue.ErrDamaged)
		}
	})
}

// FuzzRows decodes any bytes as each kind of row, behind a checksum that is right.
func FuzzRows(f *testing.F) {
	ev := newEvent("id", 30, queuetest.NewClock().Now(), app)
	rec := encodeEvent(nil, &ev, 1, dedupClaim{until: 2})
	sealEvent(rec, 1)
	r := initial(ev.Deliveries[0], 1)
	r.last = &queue.Attempt{Number: 1, Class: "status", Response: []byte("no")}
	b := block{}
	b.add(3, 7, 0, 1)
	f.Add(rec)
	f.Add(r.encode())
	f.Add(b.encode())
	f.Add((&laneRow{name: app}).encode())
	f.Add((&sourceRow{}).encode())
	f.Add(highWater{seq: 1, commits: 2}.encode())
	f.Add(highWater{seq: 1, commits: 2, segment: 1}.encode())
	f.Add(bucketRow{until: 1, form: formPages, pages: 3}.encode())
	f.Add(encodeClaims([]loggedClaim{{seq: 1, until: 2}, {seq: 3, until: 1}}))
	f.Add((&savedFilter{sizes: []int{lineWords}}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		errs := map[string]error{}
		if len(data) >= eventHeader && uint64(be.Uint32(data[4:]))+eventHeader <= uint64(len(data)) {
			// With the right number, lengths and checksums, so that what is behind them is looked at.
			sealed := slices.Clone(data)
			sealed[0] = eventVersion
			be.PutUint32(sealed[8:], uint32(len(data)-eventHeader)-be.Uint32(sealed[4:]))
			sealEvent(sealed, 1)
			e, err := decodeEvent(sealed, 1, true)
			if errs["event"] = err; err == nil {
				again := queue.NewEvent{Event: e.Event, Deliveries: e.deliveries}
				second := encodeEvent(nil, &again, e.enqueued, e.claim)
				sealEvent(second, 1)
				if _, err := decodeEvent(second, 1, true); err != nil {
					t.Errorf("an event that was read cannot be written: %v", err)
				}
			}
		}
		_, errs["raw event"] = decodeEvent(data, 1, true)
		_, errs["record"] = decodeRecord(data)
		_, errs["block"] = decodeBlock(data)
		_, errs["lane"] = decodeLaneRow(data)
		_, errs["source"] = decodeSourceRow(data)
		_, errs["filter"] = decodeSavedFilter(data)
		_, errs["bucket"] = decodeBucketRow(data)
		eachClaim(data, func(*loggedClaim) {})
		if m, ok := decodeMark(data); ok && !bytes.Equal(m.encode(), data) {
			t.Errorf("mark %x is written as %x", data, m.encode())
		}
		for what, err := range errs {
			if err != nil && !errors.Is(err, queue.ErrDamaged) {
				t.Errorf("%s: %v, want %v", what, err, queue.ErrDamaged)
			}
		}
	})
}
