#include "decision.hpp"

#include <structmember.h>

#include <cstddef>

#include "python_type.hpp"

namespace acumen::bindings {
namespace {

struct Decision {
  PyObject_HEAD PyObject* choice;
  PyObject* arm;
  unsigned long long id;
  unsigned long long model_version;
  long index;
  long suggested;
  float propensity;
  unsigned char reason;
};

PyTypeObject* decision_type = nullptr;

// Dropped decisions, kept for the next ones: a choice then allocates nothing.
constexpr int kSpareMax = 64;
PyObject* spare[kSpareMax];
int spare_count = 0;

int decision_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(reinterpret_cast<Decision*>(self)->choice);
  Py_VISIT(reinterpret_cast<Decision*>(self)->arm);
  return 0;
}

int decision_clear(PyObject* self) {
  Py_CLEAR(reinterpret_cast<Decision*>(self)->choice);
  Py_CLEAR(reinterpret_cast<Decision*>(self)->arm);
  return 0;
}

void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  decision_clear(self);
  PyTypeObject* type = Py_TYPE(self);
  if (spare_count < kSpareMax) {
    spare[spare_count++] = self;
  } else {
    PyObject_GC_Del(self);
  }
  Py_DECREF(type);
}

PyObject* get_reason(PyObject* self, void*) {
  const auto reason = static_cast<Reason>(reinterpret_cast<Decision*>(self)->reason);
  return PyUnicode_InternFromString(reason_name(reason));
}

PyObject* get_suggested(PyObject* self, void*) {
  const long suggested = reinterpret_cast<Decision*>(self)->suggested;
  if (suggested < 0) Py_RETURN_NONE;
  return PyLong_FromLong(suggested);
}

PyObject* repr(PyObject* self) {
  auto* d = reinterpret_cast<Decision*>(self);
  PyObject* propensity = PyFloat_FromDouble(static_cast<double>(d->propensity));
  if (!propensity) return nullptr;
  PyObject* text = PyUnicode_FromFormat(
      "Decision(arm=%R, id=%llu, propensity=%R, reason='%s', model_version=%llu)", d->arm, d->id,
      propensity, reason_name(static_cast<Reason>(d->reason)), d->model_version);
  Py_DECREF(propensity);
  return text;
}

PyObject* decision_feedback(PyObject* self, PyObject* const* args, Py_ssize_t count,
                            PyObject* names) {
  auto* d = reinterpret_cast<Decision*>(self);
  return give_feedback(d->choice, d->id, args, count, names);
}

PyMethodDef methods[] = {
    {"feedback", method(decision_feedback), METH_FASTCALL | METH_KEYWORDS,
     "feedback($self, /, *values, **metrics)\n--\n\nReports what came of this decision."},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef members[] = {
    {"arm", T_OBJECT, offsetof(Decision, arm), READONLY, "The arm to use."},
    {"index", T_LONG, offsetof(Decision, index), READONLY, "The arm's position."},
    {"id", T_ULONGLONG, offsetof(Decision, id), READONLY,
     "Names the decision; 0 if it was not recorded."},
    {"propensity", T_FLOAT, offsetof(Decision, propensity), READONLY,
     "Probability with which this arm was sampled."},
    {"model_version", T_ULONGLONG, offsetof(Decision, model_version), READONLY,
     "Lessons that the model had taken."},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef getset[] = {
    {"reason", get_reason, nullptr, "Why this arm was served.", nullptr},
    {"suggested", get_suggested, nullptr, "Index that the learned policy drew, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("What was decided: the arm, and what is needed to learn from it.")},
    {Py_tp_traverse, slot(decision_traverse)},
    {Py_tp_clear, slot(decision_clear)},
    {Py_tp_dealloc, slot(dealloc)},
    {Py_tp_repr, slot(repr)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, nullptr}};

PyType_Spec spec = {"acumen._native.Decision", sizeof(Decision), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                        Py_TPFLAGS_IMMUTABLETYPE,
                    slots};

}  // namespace

PyObject* make_decision_type() {
  PyObject* type = PyType_FromSpec(&spec);
  decision_type = reinterpret_cast<PyTypeObject*>(type);
  return type;
}

PyObject* make_decision(PyObject* choice, PyObject* arm, const Answer& answer) {
  PyObject* self;
  if (spare_count > 0) {
    self = PyObject_Init(spare[--spare_count], decision_type);
  } else {
    self = reinterpret_cast<PyObject*>(PyObject_GC_New(Decision, decision_type));
    if (!self) return nullptr;
  }
  auto* d = reinterpret_cast<Decision*>(self);
  d->choice = Py_NewRef(choice);
  d->arm = Py_NewRef(arm);
  d->id = answer.id;
  d->model_version = answer.version;
  d->index = answer.arm == ChoiceEngine::kNoArm ? -1 : static_cast<long>(answer.arm);
  d->suggested =
      answer.suggested == ChoiceEngine::kNoArm ? -1 : static_cast<long>(answer.suggested);
  d->propensity = answer.propensity;
  d->reason = static_cast<unsigned char>(answer.reason);
  PyObject_GC_Track(self);
  return self;
}

}  // namespace acumen::bindings
