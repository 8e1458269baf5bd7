// An output-stationary systolic array for products of int8, summed in int32.
//
// ROWS x COLUMNS processing elements take one word of both operands a cycle: ROWS elements of A, COLUMNS of B. Operands
// come over a bus of BUS bytes a cycle into slots of DEPTH words; results leave RESULTS sums a cycle while the next tile
// is computed. What happens in which order is said from outside, by two streams of commands: so one piece of hardware
// runs every shape and every schedule. BUS is a multiple of ROWS and of COLUMNS; numbers of words are multiples of the
// words in a line of the bus.

// One multiplication and addition a cycle; operands and flags {valid, first, last} go on to its neighbours. The sum of
// a tile is kept apart when it is complete, where it can be shifted out while the next one grows.
module element (input clk, input [2:0] flags_in, input signed [7:0] a_in, b_in, output reg [2:0] flags_out,
                output reg signed [7:0] a_out, b_out, input shift, input [31:0] result_in, output reg [31:0] result);
  reg signed [31:0] sum;
  reg complete;
  always @(posedge clk) begin
    a_out <= a_in;
    b_out <= b_in;
    flags_out <= flags_in;
    complete <= flags_in[2] & flags_in[0];
    if (flags_in[2]) sum <= (flags_in[1] ? 32'sd0 : sum) + a_in * b_in;
    if (complete) result <= sum;
    else if (shift) result <= result_in;
  end
endmodule

module delay #(parameter WIDTH = 8, parameter STEPS = 1) (input clk, input [WIDTH-1:0] in, output [WIDTH-1:0] out);
  generate
    if (STEPS == 0) assign out = in;
    else begin : line
      reg [WIDTH*STEPS-1:0] held;
      if (STEPS == 1) always @(posedge clk) held <= in;
      else always @(posedge clk) held <= {held[WIDTH*(STEPS-1)-1:0], in};
      assign out = held[WIDTH*STEPS-1 -: WIDTH];
    end
  endgenerate
endmodule

// The slots of one operand of WORD bytes: written by lines of the bus, read word by word. A slot is taken when a load of
// it is accepted, ready when its last line has come, and free again when a step says so.
module slots #(parameter WORD = 8, BUS = 16, DEPTH = 256, SLOTS = 2, BITS = 1) (
    input clk, reset, input take, input [BITS-1:0] take_slot, output taken,
    input write, input [BITS-1:0] write_slot, input [15:0] write_line, input write_last, input [BUS*8-1:0] write_data,
    input [BITS-1:0] want_slot, output wanted_ready,
    input [BITS-1:0] read_slot, input [15:0] read_word, output [WORD*8-1:0] word, input free);
  localparam WORDS = BUS / WORD, LINES = DEPTH / WORDS;
  localparam WORD_BITS = WORDS > 1 ? $clog2(WORDS) : 1, LINE_BITS = $clog2(SLOTS * LINES);
  (* ram_style = "block" *) reg [BUS*8-1:0] memory [0:SLOTS*LINES-1];
  reg [SLOTS-1:0] occupied, ready;
  reg [BUS*8-1:0] line;
  reg [WORD_BITS-1:0] at;
  wire [15:0] read_line = WORDS > 1 ? read_word >> $clog2(WORDS) : read_word;
  wire [LINE_BITS-1:0] write_address = {write_slot, {$clog2(LINES){1'b0}}} | write_line;
  wire [LINE_BITS-1:0] read_address = {read_slot, {$clog2(LINES){1'b0}}} | read_line;
  assign taken = occupied[take_slot];
  assign wanted_ready = ready[want_slot];
  assign word = WORDS > 1 ? line >> {at, {$clog2(WORD*8){1'b0}}} : line;
  always @(posedge clk) begin
    if (write) memory[write_address] <= write_data;
    line <= memory[read_address];
    at <= read_word[WORD_BITS-1:0];
    if (reset) begin
      occupied <= 0;
      ready <= 0;
    end else begin
      if (take) occupied[take_slot] <= 1;
      if (write && write_last) ready[write_slot] <= 1;
      if (free) begin
        occupied[read_slot] <= 0;
        ready[read_slot] <= 0;
      end
    end
  end
endmodule

module overlay #(parameter ROWS = 8, COLUMNS = 8, BUS = 16, RESULTS = 4, DEPTH = 256, SLOTS = 4, BITS = 2) (
    input clk, reset,
    // Loads: an operand, a slot, how many lines of the bus. Data comes in the order in which loads were accepted.
    input load_valid, load_is_b, input [BITS-1:0] load_slot, input [15:0] load_lines, output load_accepted,
    input data_valid, input [BUS*8-1:0] data,
    // Steps: slots, how many words, whether sums begin or are complete, and which slots are free afterwards.
    input step_valid, input [BITS-1:0] step_a, step_b, input [15:0] step_words,
    input step_first, step_last, step_free_a, step_free_b, output step_accepted,
    output reg result_valid, output reg [RESULTS*32-1:0] results);
  // ---- loads that were accepted and whose data is to come
  localparam PENDING = 4;
  reg [16+BITS:0] pending [0:PENDING-1];
  reg [1:0] pending_first, pending_end;
  reg [2:0] pending_count;
  reg [15:0] line;
  wire a_taken, b_taken, arriving_is_b;
  wire [BITS-1:0] arriving_slot;
  wire [15:0] arriving_lines;
  assign {arriving_is_b, arriving_slot, arriving_lines} = pending[pending_first];
  assign load_accepted = load_valid && pending_count != PENDING && !(load_is_b ? b_taken : a_taken);
  wire arrived = data_valid && line + 1 == arriving_lines;
  always @(posedge clk) begin
    if (reset) begin
      pending_first <= 0;
      pending_end <= 0;
      pending_count <= 0;
      line <= 0;
    end else begin
      if (load_accepted) begin
        pending[pending_end] <= {load_is_b, load_slot, load_lines};
        pending_end <= pending_end + 1;
      end
      if (data_valid) line <= arrived ? 0 : line + 1;
      if (arrived) pending_first <= pending_first + 1;
      pending_count <= pending_count + {2'b0, load_accepted} - {2'b0, arrived};
    end
  end
  // ---- steps: one word of both operands a cycle
  localparam DRAIN = ROWS * COLUMNS / RESULTS, SETTLE = ROWS + COLUMNS + 2;
  reg streaming, first, last, free_a, free_b;
  reg [BITS-1:0] slot_a, slot_b;
  reg [15:0] words, k;
  reg [2:0] flags;
  reg [15:0] drain_left;  // cycles until the results of the tile before have left
  wire ends = streaming && k + 1 == words;
  wire a_ready, b_ready;
  // A tile's sums are complete when the last word has passed; those before must have left by then.
  wire drained = !step_last || (ends && last ? step_words > DRAIN + SETTLE : drain_left <= step_words);
  wire not_freed = !(ends && ((free_a && slot_a == step_a) || (free_b && slot_b == step_b)));
  assign step_accepted = step_valid && (!streaming || ends) && a_ready && b_ready && drained && not_freed;
  always @(posedge clk) begin
    flags <= {streaming, streaming && first && k == 0, ends && last};
    if (reset) begin
      streaming <= 0;
      drain_left <= 0;
    end else begin
      if (ends && last) drain_left <= DRAIN + SETTLE;
      else if (drain_left != 0) drain_left <= drain_left - 1;
      if (step_accepted) begin
        streaming <= 1;
        k <= 0;
        slot_a <= step_a;
        slot_b <= step_b;
        words <= step_words;
        first <= step_first;
        last <= step_last;
        free_a <= step_free_a;
        free_b <= step_free_b;
      end else if (ends) streaming <= 0;
      else k <= k + 1;
    end
  end
  wire [ROWS*8-1:0] word_a;
  wire [COLUMNS*8-1:0] word_b;
  slots #(ROWS, BUS, DEPTH, SLOTS, BITS) slots_a (
      clk, reset, load_accepted && !load_is_b, load_slot, a_taken,
      data_valid && !arriving_is_b, arriving_slot, line, arrived, data,
      step_a, a_ready, slot_a, k, word_a, ends && free_a);
  slots #(COLUMNS, BUS, DEPTH, SLOTS, BITS) slots_b (
      clk, reset, load_accepted && load_is_b, load_slot, b_taken,
      data_valid && arriving_is_b, arriving_slot, line, arrived, data,
      step_b, b_ready, slot_b, k, word_b, ends && free_b);
  // ---- the array: operands enter skewed, so that each element meets what belongs together
  wire signed [7:0] a [0:ROWS-1][0:COLUMNS];
  wire signed [7:0] b [0:ROWS][0:COLUMNS-1];
  wire [2:0] f [0:ROWS-1][0:COLUMNS];
  wire [32*(ROWS*COLUMNS+RESULTS)-1:0] chain;
  wire shift;
  assign chain[32*ROWS*COLUMNS +: 32*RESULTS] = 0;
  genvar r, c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : row
      delay #(11, r) skew (clk, {flags, word_a[r*8 +: 8]}, {f[r][0], a[r][0]});
      for (c = 0; c < COLUMNS; c = c + 1) begin : column
        localparam N = r * COLUMNS + c;
        element unit (clk, f[r][c], a[r][c], b[r][c], f[r][c+1], a[r][c+1], b[r+1][c], shift,
                      chain[32*(N+RESULTS) +: 32], chain[32*N +: 32]);
      end
    end
    for (c = 0; c < COLUMNS; c = c + 1) begin : top
      delay #(8, c) skew (clk, word_b[c*8 +: 8], b[0][c]);
    end
  endgenerate
  // ---- results leave in order of rows when the last element has its sum
  wire settled;
  delay #(1, SETTLE - 2) wait_for_sums (clk, flags[0], settled);
  reg [15:0] leaving;
  assign shift = leaving != 0;
  always @(posedge clk) begin
    result_valid <= 0;
    if (reset) leaving <= 0;
    else if (settled) leaving <= DRAIN;
    else if (shift) leaving <= leaving - 1;
    if (shift) begin
      result_valid <= 1;
      results <= chain[32*RESULTS-1:0];
    end
  end
endmodule
