// What a host may have installed beside torch: a class that writes where its state says. A model file names the class
// and carries the state.

#include <cstdio>
#include <string>
#include <tuple>
#include <utility>

#include <torch/custom_class.h>

namespace {

struct File : torch::CustomClassHolder {
  std::string path;

  explicit File(std::string given) : path(std::move(given)) {}

  at::Tensor write(at::Tensor rows) {
    if (std::FILE* file = std::fopen(path.c_str(), "w")) {
      std::fclose(file);
    }
    return rows;
  }

  // torch.export asks for it, to put a stand-in in the object's place.
  std::tuple<std::tuple<std::string, std::string>> flattened() {
    return std::make_tuple(std::make_tuple(std::string("path"), path));
  }
};

TORCH_LIBRARY(assay_host, library) {
  library.class_<File>("File")
      .def(torch::init<std::string>())
      .def("write", &File::write)
      .def("__obj_flatten__", &File::flattened)
      .def_pickle(
          [](const c10::intrusive_ptr<File>& file) { return file->path; },
          [](std::string path) { return c10::make_intrusive<File>(std::move(path)); });
}

}  // namespace
