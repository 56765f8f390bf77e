package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 3 % wide, so that a long run takes no more memory than a short one.
type histogram struct {
	counts [64 * subBuckets]uint64
	total  uint64
}

const (
	subBits    = 5
	subBuckets = 1 << subBits
)

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < subBuckets {
		return int(v)
	}
	exp := bits.Len64(v) - subBits - 1
	return (exp+1)<<subBits + int(v>>exp) - subBuckets
}

// lowest returns the least duration of a bucket.
func lowest(bucket int) time.Duration {
	if bucket < subBuckets {
		return time.Duration(bucket)
	}
	exp := bucket>>subBits - 1
	return time.Duration((bucket&(subBuckets-1))+subBuckets) << exp
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile returns the duration below which the given part of all lies; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen > rank {
			return lowest(i)
		}
	}
	return 0
}
