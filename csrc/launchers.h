// The files of a backend, each of which enters its launchers. Included inside the backend's namespace, which is another
// for every instruction set and for CUDA.

void enter_color(Ops&);
void enter_encode(Ops&);
void enter_loss(Ops&);
void enter_scale_grad(Ops&);
void enter_decode(Ops&);
void enter_luma_to_input(Ops&);
void enter_paint(Ops&);
void enter_decode_paint(Ops&);
void enter_temporal(Ops&);

// The whole table.
inline Ops entered() {
  Ops table{};
  for (const auto enter : {enter_color, enter_encode, enter_loss, enter_scale_grad, enter_decode, enter_luma_to_input,
                           enter_paint, enter_decode_paint, enter_temporal})
    enter(table);
  return table;
}
