// Work of two kinds in one grid, the second waiting for the first: blocks take tickets, report what they have done, and
// wait for what others report. Note [One launch] in decode_paint.cu says why nobody waits for ever.
#pragma once

#include "launch.cuh"

namespace fastcolor::cuda {

// ---- the list of work ----

// First `ahead` rows of tiles; then a row of tiles and the painting `ahead` rows before, in turn; then the rest of the
// painting. Painting around row r reads ab up to row r + 1, whose tickets are all smaller, since ahead >= 1.
struct Schedule {
  unsigned tiles, units;  // tickets of one row of logits, and of the painted rows around it
  unsigned rows, ahead;   // of logits, of all images
};
struct Work {
  bool paint;
  unsigned row, part;
};
__device__ __forceinline__ Work work_of(const Schedule& s, unsigned ticket) {
  if (ticket < s.ahead * s.tiles) return {false, ticket / s.tiles, ticket % s.tiles};
  ticket -= s.ahead * s.tiles;
  const unsigned both = s.tiles + s.units, row = ticket / both, part = ticket - row * both, pairs = s.rows - s.ahead;
  if (row < pairs) return part < s.tiles ? Work{false, row + s.ahead, part} : Work{true, row, part - s.tiles};
  ticket -= pairs * both;
  return {true, pairs + ticket / s.units, ticket % s.units};
}

// ---- progress: counters in global memory that are 0 when a launch begins, and when it ends ----

// Words of `progress`: tickets taken, blocks retired, and from the last on the tiles done, one word a row of logits.
constexpr int kProgressTicket = 0, kProgressRetired = 1, kProgressDone = 2;
// Words of the head, the first kHeadBytes of a block's shared memory: its ticket, its row, and how many blocks retired
// before it.
constexpr int kHeadTicket = 0, kHeadRow = 1, kHeadRetired = 2;
constexpr size_t kHeadBytes = 16;  // what follows stays 16-byte aligned

__device__ __forceinline__ unsigned take_ticket(uint32_t* progress, unsigned* head) {
  if (threadIdx.x == 0) head[kHeadTicket] = atomicAdd(progress + kProgressTicket, 1u);
  __syncthreads();
  return head[kHeadTicket];
}

// What the block's threads wrote can be read by whoever sees the count.
__device__ __forceinline__ void report_tile(uint32_t* progress, const unsigned* head) {
  __syncthreads();
  if (threadIdx.x != 0) return;
  __threadfence();
  atomicAdd(progress + kProgressDone + head[kHeadRow], 1u);
}

// Until all tiles of two rows have been reported.
__device__ __forceinline__ void wait_for_rows(const uint32_t* low, const uint32_t* high, unsigned tiles) {
  if (threadIdx.x == 0) {
    for (const uint32_t* done : {low, high}) {
      while (*static_cast<const volatile uint32_t*>(done) < tiles) __nanosleep(100);
    }
    __threadfence();
  }
  __syncthreads();
}

// The last block, for which nobody waits any more, leaves zeros to the next launch.
__device__ __forceinline__ void retire(uint32_t* progress, unsigned* head, unsigned rows) {
  if (threadIdx.x == 0) head[kHeadRetired] = atomicAdd(progress + kProgressRetired, 1u);
  __syncthreads();
  if (head[kHeadRetired] != gridDim.x - 1) return;
  for (unsigned i = threadIdx.x; i < rows + kProgressDone; i += blockDim.x) progress[i] = 0;
}

}  // namespace fastcolor::cuda
